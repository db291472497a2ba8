//! Bytes through AWS Session Manager to a port of a machine that no security group opens.
//!
//! irp starts and ends the session, and AWS's `session-manager-plugin` carries the bytes.

use std::time::{Duration, SystemTime};

use irp_aws::{
    Aws, Error, Kind as Refusal, Service,
    ssm::{Session, StartSession},
};
use irp_client::pipe::{Carried, Carrier, CarrierError, Preparing};
use secrecy::ExposeSecret as _;
use tokio::process::Command;

use super::plugin;
use crate::{
    clock,
    cloud::{explain::explain, machines::Machine},
};

/// The document that carries one TCP connection, whatever its bytes are.
const DOCUMENT: &str = "AWS-StartSSHSession";

/// The variable by which the plugin gets the session, whose token is a secret that arguments would show to everybody.
const VARIABLE: &str = "AWS_SSM_START_SESSION_RESPONSE";

/// How long after its launch a machine's agent may still be on its way. The image's first boot takes most of it.
const SETTLES_WITHIN: Duration = Duration::from_secs(5 * 60);

/// The way to one port of one machine.
#[derive(Clone, Debug)]
pub(crate) struct SessionManager {
    aws: Aws,
    /// `i-…`.
    id: String,
    port: u16,
    /// The profile that was typed, for the plugin, which signs by itself.
    profile: Option<String>,
    launched: Option<SystemTime>,
    second: bool,
}

impl SessionManager {
    /// The way to `port` of the machine with this id.
    pub(crate) fn to(aws: Aws, id: impl Into<String>, port: u16, profile: Option<String>) -> Self {
        Self { aws, id: id.into(), port, profile, launched: None, second: false }
    }

    /// The way to `port` of a machine: what is not there yet is waited for while the machine is young.
    pub(crate) fn to_machine(aws: Aws, machine: &Machine, port: u16, profile: Option<String>) -> Self {
        Self { launched: machine.launched, ..Self::to(aws, &machine.id, port, profile) }
    }

    /// The same for where a socket gets nowhere.
    pub(crate) fn behind_a_socket(self) -> Self {
        Self { second: true, ..self }
    }

    /// Starts a session.
    ///
    /// # Errors
    ///
    /// When nobody here could carry it, or AWS or the machine does not take it.
    pub(crate) async fn start(&self) -> Result<Session, CarrierError> {
        plugin::check().await?;
        match self.aws.ssm().start_session(&self.request()).await {
            Ok(session) => Ok(session),
            Err(error) if error.is("TargetNotConnected") => Err(self.not_connected(error).await),
            Err(error) => Err(refused(error)),
        }
    }

    /// Ends a session that nobody will carry.
    pub(crate) async fn abandon(&self, session: &Session) {
        end(&self.aws, &session.session_id).await;
    }

    /// The program that carries this session, which is ended with it.
    pub(crate) fn carry(&self, session: &Session) -> Carried {
        let mut program = Command::new(plugin::PROGRAM);
        program.args([VARIABLE, self.aws.region(), "StartSession"]);
        program.arg(self.profile.as_deref().unwrap_or_default());
        program.arg(self.request().to_json()).arg(self.aws.endpoint(Service::Ssm));
        program.env(VARIABLE, session.to_json().expose_secret());
        let (aws, id) = (self.aws.clone(), session.session_id.clone());
        let afterwards = Box::pin(async move { end(&aws, &id).await });
        Carried { program, afterwards }
    }

    fn request(&self) -> StartSession {
        StartSession {
            target: self.id.clone(),
            document_name: DOCUMENT.to_owned(),
            parameters: [("portNumber".to_owned(), vec![self.port.to_string()])].into(),
        }
    }

    fn is_young(&self) -> bool {
        let age = self.launched.map(|launched| clock::now().duration_since(launched).unwrap_or_default());
        age.is_some_and(|age| age < SETTLES_WITHIN)
    }

    /// What `TargetNotConnected` means here.
    async fn not_connected(&self, error: Error) -> CarrierError {
        let id = &self.id;
        if self.is_young() {
            let message = format!("the SSM agent of {id} is not connected yet, which takes a minute or two");
            return CarrierError::passing(message).because(error);
        }
        // Who may start sessions may not be allowed to ask this; then it is as if nobody knew.
        let known = self.aws.ssm().managed_instance(id).await.ok().flatten();
        match known {
            Some(agent) => {
                let message = format!("the SSM agent of {id} is not connected: AWS calls it {}", agent.ping_status);
                CarrierError::passing(message).because(error)
            }
            None => CarrierError::lasting(format!("{id} has no SSM agent that ever reported to AWS"))
                .because(error)
                .hint("Debian's image has none; Amazon Linux and Ubuntu have one, which needs the role of irp setup")
                .hint("it needs a way to the Internet as well, or endpoints of ssm and ssmmessages in its network")
                .hint("where a port of the machine is open: --via tls, or --via eic --direct"),
        }
    }
}

impl Carrier for SessionManager {
    fn way(&self) -> String {
        format!("Session Manager to {}", self.id)
    }

    fn is_second(&self) -> bool {
        self.second
    }

    fn prepare(&self) -> Preparing<'_> {
        Box::pin(async {
            let session = self.start().await.map_err(|error| {
                // The machine's port may open any moment: that this way is closed is no reason to leave.
                if self.second && self.is_young() { error.but_passing() } else { error }
            })?;
            Ok(self.carry(&session))
        })
    }
}

async fn end(aws: &Aws, session_id: &str) {
    if let Err(error) = aws.ssm().terminate_session(session_id).await {
        tracing::debug!(%error, "the session ends by itself when nothing comes for a while");
    }
}

/// A refusal of AWS on the way to a machine, with what to type.
pub(super) fn refused(error: Error) -> CarrierError {
    let failure = explain(&error);
    let carrier = match error.kind() {
        Refusal::Throttled | Refusal::Service | Refusal::Network | Refusal::Answer => {
            CarrierError::passing(failure.message())
        }
        _ => CarrierError::lasting(failure.message()),
    };
    failure.hints().iter().fold(carrier.because(error), |carrier, hint| carrier.hint(hint.as_str()))
}
