//! STS: who is calling.

use serde::Deserialize;

use crate::{account::Aws, error::Error, form::Form, service::Service, xml};

/// STS in one region.
#[derive(Debug, Clone)]
pub struct Sts {
    aws: Aws,
}

/// Whose credentials are in use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Caller {
    /// The account's number.
    pub account: String,
    /// The ARN of user or assumed role.
    pub arn: String,
    /// The unique id, `AIDA…` or `AROA…:session`.
    pub user_id: String,
}

impl Sts {
    pub(crate) fn new(aws: Aws) -> Self {
        Self { aws }
    }

    /// GetCallerIdentity, which every valid credential may call.
    ///
    /// # Errors
    ///
    /// When the credentials are not valid, or AWS is not reached.
    pub async fn caller(&self) -> Result<Caller, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            get_caller_identity_result: Caller,
        }
        let call = Form::new().call(Service::Sts, "GetCallerIdentity");
        let action = call.action;
        let answer: Answer = xml::parse(action, &call.send(&self.aws).await?)?;
        Ok(answer.get_caller_identity_result)
    }
}

impl Caller {
    /// The ARN that policies of the caller hang on: for an assumed role that of the role (its path, if it has one, is
    /// not in the session's ARN and is lost here), else [`arn`](Self::arn) itself.
    #[must_use]
    pub fn principal(&self) -> String {
        let parts: Vec<&str> = self.arn.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", partition, "sts", "", account, resource] => {
                match resource.strip_prefix("assumed-role/").and_then(|rest| rest.split_once('/')) {
                    Some((role, _)) => format!("arn:{partition}:iam::{account}:role/{role}"),
                    None => self.arn.clone(),
                }
            }
            _ => self.arn.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_role() {
        let of =
            |arn: &str| Caller { account: "1".into(), arn: arn.into(), user_id: String::new() }.principal();
        assert_eq!(of("arn:aws:sts::1:assumed-role/dev/alice"), "arn:aws:iam::1:role/dev");
        assert_eq!(of("arn:aws:iam::1:user/alice"), "arn:aws:iam::1:user/alice");
        assert_eq!(of("arn:aws:sts::1:federated-user/bob"), "arn:aws:sts::1:federated-user/bob");
    }
}
