//! The keys that SendSSHPublicKey pushed to this machine: IAM decides who may, and each is good for 60 seconds.

use std::time::SystemTime;

use futures_util::future::BoxFuture;
use irp_aws::Imds;
use irp_edge::enrolment::PushedKeys;
use irp_wire::key::PublicKey;

use crate::clock;

/// The account for which they are pushed; nobody logs in as it.
const OS_USER: &str = "irp";

/// Where the metadata service keeps them.
#[derive(Debug)]
pub(crate) struct ActiveKeys(Imds);

impl ActiveKeys {
    pub(crate) fn new(imds: Imds) -> Self {
        Self(imds)
    }
}

impl PushedKeys for ActiveKeys {
    fn active(&self) -> BoxFuture<'_, Vec<PublicKey>> {
        Box::pin(async {
            let now = clock::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            match self.0.active_keys(OS_USER, now).await {
                // Keys of other types cannot say hello.
                Ok(lines) => lines.iter().filter_map(|line| line.parse().ok()).collect(),
                Err(error) => {
                    tracing::warn!(%error, "pushed keys cannot be read: nobody is enrolled now");
                    Vec::new()
                }
            }
        })
    }
}
