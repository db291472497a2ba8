//! Parameter Store. Values never print, whatever their kind.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::Ssm;
use crate::{
    error::{Error, Kind},
    json,
    service::Service,
};

/// A standard parameter holds so many bytes at most.
pub const STANDARD_MAX: usize = 4096;

/// So many names fit into one call.
const NAMES_MAX: usize = 10;

/// So many pages of a folder are read.
const PAGES_MAX: usize = 200;

/// A parameter as it was read, a SecureString decrypted.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its whole name, such as `/irp/cert/alice.example.com/account`.
    pub name: String,
    /// Its value.
    pub value: SecretString,
    /// Counts its writes from 1; a parameter that was deleted and made again begins anew.
    pub version: u64,
    /// When it was written, in UNIX seconds.
    pub modified: f64,
}

/// What is written.
#[derive(Debug)]
pub struct PutParameter<'a> {
    /// Its whole name.
    pub name: &'a str,
    /// Its value, at most [`STANDARD_MAX`] bytes.
    pub value: &'a SecretString,
    /// What kind of parameter it is.
    pub sort: Sort<'a>,
    /// What happens to one that exists.
    pub overwrite: Overwrite,
}

/// The kind of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort<'a> {
    /// Readable to everybody who may read parameters.
    Plain,
    /// Encrypted with this KMS key, or the account's own for parameters (`alias/aws/ssm`).
    Secure(Option<&'a str>),
}

/// What a write does to a parameter that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It is replaced.
    Yes,
    /// The write is refused with [`Exists`](Kind::Exists). Such a write is never repeated by this module when it is not
    /// known whether it was done.
    No,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    name: String,
    #[serde(deserialize_with = "json::secret")]
    value: SecretString,
    version: u64,
    #[serde(default)]
    last_modified_date: f64,
}

impl From<Described> for Parameter {
    fn from(it: Described) -> Self {
        Self { name: it.name, value: it.value, version: it.version, modified: it.last_modified_date }
    }
}

impl Ssm {
    /// GetParameter, decrypted; `None` when there is none. AWS's public parameters are read in the same way.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn parameter(&self, name: &str) -> Result<Option<Parameter>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            parameter: Described,
        }
        let input = serde_json::json!({ "Name": name, "WithDecryption": true });
        match json::send::<Answer>(json::call(Service::Ssm, "GetParameter", &input), &self.aws).await {
            Ok(answer) => Ok(Some(answer.parameter.into())),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// GetParameters, decrypted: those of `names` that exist, in no order, as many calls as it takes.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn parameters(&self, names: &[String]) -> Result<Vec<Parameter>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(default)]
            parameters: Vec<Described>,
        }
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(NAMES_MAX) {
            let input = serde_json::json!({ "Names": names, "WithDecryption": true });
            let answer: Answer =
                json::send(json::call(Service::Ssm, "GetParameters", &input), &self.aws).await?;
            found.extend(answer.parameters.into_iter().map(Parameter::from));
        }
        Ok(found)
    }

    /// GetParametersByPath, decrypted: everything below a folder such as `/irp/cert/alice.example.com`.
    ///
    /// # Errors
    ///
    /// When AWS refuses, is not reached, or the folder is unreasonably large.
    pub async fn parameters_below(&self, path: &str) -> Result<Vec<Parameter>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Page {
            #[serde(default)]
            parameters: Vec<Described>,
            next_token: Option<String>,
        }
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        let call = |token: &Option<String>| {
            let mut input = serde_json::json!({
                "Path": path, "Recursive": true, "WithDecryption": true, "MaxResults": NAMES_MAX,
            });
            if let Some(token) = token {
                input["NextToken"] = token.as_str().into();
            }
            json::call(Service::Ssm, "GetParametersByPath", &input)
        };
        for _ in 0..PAGES_MAX {
            let page: Page = json::send(call(&token), &self.aws).await?;
            found.extend(page.parameters.into_iter().map(Parameter::from));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(Error::new(
            call(&None).action,
            Kind::Answer,
            format!("there are too many parameters below {path}"),
        ))
    }

    /// PutParameter, of the standard tier; gives its version.
    ///
    /// # Errors
    ///
    /// [`Exists`](Kind::Exists) when there is one and it must not be overwritten.
    pub async fn put_parameter(&self, put: &PutParameter<'_>) -> Result<u64, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Input<'a> {
            name: &'a str,
            value: &'a str,
            #[serde(rename = "Type")]
            kind: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            key_id: Option<&'a str>,
            overwrite: bool,
            tier: &'a str,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            version: u64,
        }
        let (kind, key_id) = match put.sort {
            Sort::Plain => ("String", None),
            Sort::Secure(key_id) => ("SecureString", key_id),
        };
        let overwrite = put.overwrite == Overwrite::Yes;
        let value = put.value.expose_secret();
        let input = Input { name: put.name, value, kind, key_id, overwrite, tier: "Standard" };
        let call = json::call(Service::Ssm, "PutParameter", &input);
        if value.len() > STANDARD_MAX {
            // Some stand-ins of AWS take any length, so it is checked here.
            let message = format!("{} is larger than a parameter can be ({STANDARD_MAX} bytes)", put.name);
            return Err(Error::new(call.action, Kind::Invalid, message));
        }
        let call = if overwrite { call } else { call.once() };
        let answer: Answer = json::send(call, &self.aws).await?;
        Ok(answer.version)
    }

    /// DeleteParameters; those that do not exist are no error. Gives the names of those that did.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn delete_parameters(&self, names: &[String]) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(default)]
            deleted_parameters: Vec<String>,
        }
        let mut deleted = Vec::new();
        for names in names.chunks(NAMES_MAX) {
            // Not repeated in the dark: a second call would report what the first one deleted as absent.
            let call =
                json::call(Service::Ssm, "DeleteParameters", &serde_json::json!({ "Names": names })).once();
            let answer: Answer = json::send(call, &self.aws).await?;
            deleted.extend(answer.deleted_parameters);
        }
        Ok(deleted)
    }
}
