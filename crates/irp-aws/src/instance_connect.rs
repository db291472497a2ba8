//! EC2 Instance Connect: an SSH key that a machine accepts for a minute.

use serde::Serialize;

use crate::{account::Aws, error::Error, json, service::Service};

/// EC2 Instance Connect in one region.
#[derive(Debug, Clone)]
pub struct InstanceConnect {
    aws: Aws,
}

impl InstanceConnect {
    pub(crate) fn new(aws: Aws) -> Self {
        Self { aws }
    }

    /// SendSSHPublicKey: `public_key` (one line of OpenSSH) may log in as `os_user` for the next 60 seconds.
    ///
    /// # Errors
    ///
    /// When AWS refuses (the machine is not running, the caller may not) or is not reached.
    pub async fn send_key(&self, instance_id: &str, os_user: &str, public_key: &str) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Input<'a> {
            #[serde(rename = "InstanceId")]
            instance_id: &'a str,
            #[serde(rename = "InstanceOSUser")]
            os_user: &'a str,
            #[serde(rename = "SSHPublicKey")]
            public_key: &'a str,
        }
        let input = Input { instance_id, os_user, public_key };
        json::call(Service::InstanceConnect, "SendSSHPublicKey", &input).send(&self.aws).await.map(|_| ())
    }
}
