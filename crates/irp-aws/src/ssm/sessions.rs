//! Sessions, and which machines could have one.

use std::{collections::BTreeMap, fmt};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::Ssm;
use crate::{error::Error, json, service::Service};

/// A session to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartSession {
    /// The machine, `i-…`.
    pub target: String,
    /// What is run, such as `AWS-StartSSHSession`.
    pub document_name: String,
    /// Its parameters, such as `portNumber`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Vec<String>>,
}

/// A session that was started. Whoever has the token is the session.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Session {
    /// For ending it.
    pub session_id: String,
    /// The WebSocket to connect to.
    pub stream_url: String,
    /// What is sent there first.
    #[serde(deserialize_with = "json::secret")]
    pub token_value: SecretString,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}

impl Session {
    /// The answer of StartSession as the API gave it, which session-manager-plugin wants: a secret.
    #[must_use]
    pub fn to_json(&self) -> SecretString {
        let token = self.token_value.expose_secret();
        let json = serde_json::json!({
            "SessionId": self.session_id, "StreamUrl": self.stream_url, "TokenValue": token,
        });
        json.to_string().into()
    }
}

impl StartSession {
    /// The request as the API takes it, which session-manager-plugin wants.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Plain text always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A machine whose agent has reported.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManagedInstance {
    /// `i-…`.
    pub instance_id: String,
    /// `Online`, `ConnectionLost` or `Inactive`.
    pub ping_status: String,
    /// The agent's version.
    pub agent_version: Option<String>,
}

impl Ssm {
    /// StartSession.
    ///
    /// # Errors
    ///
    /// With the code `TargetNotConnected` as long as the machine's agent is not connected.
    pub async fn start_session(&self, session: &StartSession) -> Result<Session, Error> {
        json::send(json::call(Service::Ssm, "StartSession", session), &self.aws).await
    }

    /// TerminateSession.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn terminate_session(&self, session_id: &str) -> Result<(), Error> {
        let input = serde_json::json!({ "SessionId": session_id });
        json::call(Service::Ssm, "TerminateSession", &input).send(&self.aws).await.map(|_| ())
    }

    /// DescribeInstanceInformation of one machine; `None` as long as its agent never reported.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn managed_instance(&self, id: &str) -> Result<Option<ManagedInstance>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(default)]
            instance_information_list: Vec<ManagedInstance>,
        }
        let input = serde_json::json!({ "Filters": [{ "Key": "InstanceIds", "Values": [id] }] });
        let call = json::call(Service::Ssm, "DescribeInstanceInformation", &input);
        let answer: Answer = json::send(call, &self.aws).await?;
        Ok(answer.instance_information_list.into_iter().next())
    }
}
