//! Service Quotas: how much of something an account may have.

use serde::Deserialize;

use crate::{account::Aws, error::Error, json, service::Service};

/// The quota of vCPUs of running on-demand standard machines (A, C, D, H, I, M, R, T, Z).
pub const STANDARD_VCPUS: (&str, &str) = ("ec2", "L-1216C47A");

/// The same for spot requests.
pub const STANDARD_SPOT_VCPUS: (&str, &str) = ("ec2", "L-34B43A08");

/// Service Quotas in one region.
#[derive(Debug, Clone)]
pub struct ServiceQuotas {
    aws: Aws,
}

/// A quota.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Quota {
    /// Its name for people.
    pub quota_name: String,
    /// How much it is.
    pub value: f64,
}

impl ServiceQuotas {
    pub(crate) fn new(aws: Aws) -> Self {
        Self { aws }
    }

    /// GetServiceQuota, such as that of [`STANDARD_VCPUS`].
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Kind::NotFound) when there is no such quota.
    pub async fn get(&self, (service_code, quota_code): (&str, &str)) -> Result<Quota, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            quota: Quota,
        }
        let input = serde_json::json!({ "ServiceCode": service_code, "QuotaCode": quota_code });
        let call = json::call(Service::ServiceQuotas, "GetServiceQuota", &input);
        let answer: Answer = json::send(call, &self.aws).await?;
        Ok(answer.quota)
    }
}
