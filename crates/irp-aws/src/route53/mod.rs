//! Route 53, API version 2013-04-01: XML over REST.
//!
//! Names go in and come out as people write them: lower case, no final dot, `*` and not `\052`.

mod records;
mod zones;

use std::time::Duration;

use http::Method;
use serde::{Deserialize, de::DeserializeOwned};

pub use self::{
    records::{Change, RecordSet},
    zones::{Zone, ZoneDetails},
};
use crate::{
    account::Aws,
    call::Call,
    error::{Error, Kind},
    service::Service,
    xml,
};

/// Route 53, which is one for all regions of a partition.
#[derive(Debug, Clone)]
pub struct Route53 {
    aws: Aws,
    polled: Duration,
}

/// How often a change is asked for until it is everywhere. The limit of five calls a second is the account's.
const POLLED_EVERY: Duration = Duration::from_millis(2500);

/// How long a change may take until all name servers have it; AWS says that 60 s are the rule.
const IN_SYNC_WITHIN: Duration = Duration::from_secs(300);

/// The number of a change, such as `C2682N5HXP0BZ4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeId(pub String);

impl Route53 {
    pub(crate) fn new(aws: Aws) -> Self {
        // Tests are in a hurry; nobody else changes the pace.
        let polled =
            if aws.shared.pace.longest < POLLED_EVERY { aws.shared.pace.longest } else { POLLED_EVERY };
        Self { aws, polled }
    }

    /// GetChange: whether all name servers have it (`INSYNC`). A change that AWS does not know was made a moment ago, and
    /// they do not have it.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn is_in_sync(&self, change: &ChangeId) -> Result<bool, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            change_info: ChangeInfo,
        }
        match self.get::<Answer>("GetChange", &format!("change/{}", change.0), &[]).await {
            Ok(answer) => Ok(answer.change_info.status == "INSYNC"),
            Err(error) if error.is("NoSuchChange") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until all name servers have a change.
    ///
    /// # Errors
    ///
    /// [`Service`](Kind::Service) when that takes more than five minutes; else when AWS refuses or is not reached.
    pub async fn wait_in_sync(&self, change: &ChangeId) -> Result<(), Error> {
        let waiting = async {
            while !self.is_in_sync(change).await? {
                tokio::time::sleep(self.polled).await;
            }
            Ok(())
        };
        tokio::time::timeout(IN_SYNC_WITHIN, waiting).await.unwrap_or_else(|_| {
            let action = Call::new(Service::Route53, "GetChange", Method::GET).action;
            Err(Error::new(
                action,
                Kind::Service,
                "the change has not reached all name servers in five minutes",
            ))
        })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let mut call =
            Call::new(Service::Route53, operation, Method::GET).path(format!("/2013-04-01/{path}"));
        for (name, value) in query {
            call = call.query(name, *value);
        }
        let action = call.action;
        xml::parse(action, &call.send(&self.aws).await?)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        body: String,
    ) -> Result<T, Error> {
        let call = Call::new(Service::Route53, operation, Method::POST).path(format!("/2013-04-01/{path}"));
        let call = call.body("application/xml", body);
        let action = call.action;
        xml::parse(action, &call.send(&self.aws).await?)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeInfo {
    id: String,
    status: String,
}

impl ChangeInfo {
    fn id(&self) -> ChangeId {
        ChangeId(bare(&self.id).to_owned())
    }
}

/// `/hostedzone/Z1` and `/change/C1` are both called by what is behind the last slash.
fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// The namespace that request bodies are in.
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// A name as people write it: `\052.example.com.` becomes `*.example.com`.
fn plain(name: &str) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.trim_end_matches('.').as_bytes();
    while let [first, behind @ ..] = rest {
        if *first == b'\\'
            && let [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..] = behind
        {
            plain.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = behind;
        } else {
            plain.push(first.to_ascii_lowercase());
            rest = behind;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        assert_eq!(plain("\\052.Example.com."), "*.example.com");
        assert_eq!(plain("_acme-challenge.a.example"), "_acme-challenge.a.example");
        assert_eq!(plain("a\\9b"), "a\\9b");
        assert_eq!(bare("/hostedzone/Z1"), "Z1");
        assert_eq!(bare("Z1"), "Z1");
    }
}
