//! The services that are called, and where they are: endpoints per region and partition.

use std::fmt;

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Elastic Compute Cloud.
    Ec2,
    /// EC2 Instance Connect.
    InstanceConnect,
    /// Identity and Access Management; one for all regions.
    Iam,
    /// Route 53; one for all regions.
    Route53,
    /// Simple Storage Service.
    S3,
    /// Service Quotas.
    ServiceQuotas,
    /// Systems Manager.
    Ssm,
    /// Security Token Service.
    Sts,
}

/// All services, for loading their endpoints.
pub(crate) const ALL: [Service; 8] = [
    Service::Ec2,
    Service::InstanceConnect,
    Service::Iam,
    Service::Route53,
    Service::S3,
    Service::ServiceQuotas,
    Service::Ssm,
    Service::Sts,
];

impl Service {
    /// The prefix of its actions in policies, which is also the name that signatures are made for.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::InstanceConnect => "ec2-instance-connect",
            Self::Iam => "iam",
            Self::Route53 => "route53",
            Self::S3 => "s3",
            Self::ServiceQuotas => "servicequotas",
            Self::Ssm => "ssm",
            Self::Sts => "sts",
        }
    }

    /// The service id of the SDKs, from which `AWS_ENDPOINT_URL_<SERVICE>` and sections of profiles are named.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Ec2 => "EC2",
            Self::InstanceConnect => "EC2 Instance Connect",
            Self::Iam => "IAM",
            Self::Route53 => "Route 53",
            Self::S3 => "S3",
            Self::ServiceQuotas => "Service Quotas",
            Self::Ssm => "SSM",
            Self::Sts => "STS",
        }
    }

    /// The region that signatures for it name, when ours is `region`.
    pub(crate) fn signing_region(self, region: &str) -> &str {
        match (self, Partition::of(region)) {
            (Self::Iam | Self::Route53, Partition::Aws) => "us-east-1",
            (Self::Iam, Partition::China) => "cn-north-1",
            (Self::Route53, Partition::China) => "cn-northwest-1",
            (Self::Iam | Self::Route53, Partition::GovCloud) => "us-gov-west-1",
            _ => region,
        }
    }

    /// Its public endpoint, a URL without a path.
    pub(crate) fn endpoint(self, region: &str) -> String {
        let partition = Partition::of(region);
        let (prefix, suffix) = (self.prefix(), partition.dns_suffix());
        match (self, partition) {
            (Self::Iam | Self::Route53, Partition::Aws)
            | (Self::Route53, Partition::China | Partition::Europe) => {
                format!("https://{prefix}.{suffix}")
            }
            (Self::Iam | Self::Route53, Partition::GovCloud) => format!("https://{prefix}.us-gov.{suffix}"),
            (Self::Iam, Partition::China) => format!("https://{prefix}.cn-north-1.{suffix}"),
            _ => format!("https://{prefix}.{region}.{suffix}"),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix())
    }
}

/// A group of regions with accounts and names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// The commercial regions.
    Aws,
    /// The regions in China.
    China,
    /// AWS GovCloud (US).
    GovCloud,
    /// The European Sovereign Cloud.
    Europe,
}

impl Partition {
    /// The partition of a region, by the region's name.
    #[must_use]
    pub fn of(region: &str) -> Self {
        match region {
            _ if region.starts_with("cn-") => Self::China,
            _ if region.starts_with("us-gov-") => Self::GovCloud,
            _ if region.starts_with("eusc-") => Self::Europe,
            _ => Self::Aws,
        }
    }

    /// How ARNs name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::GovCloud => "aws-us-gov",
            Self::Europe => "aws-eusc",
        }
    }

    fn dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::GovCloud => "amazonaws.com",
            Self::China => "amazonaws.com.cn",
            Self::Europe => "amazonaws.eu",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_follow_region_and_partition() {
        for (service, region, endpoint, signed_for) in [
            (Service::Ec2, "ap-northeast-1", "https://ec2.ap-northeast-1.amazonaws.com", "ap-northeast-1"),
            (Service::Ssm, "cn-north-1", "https://ssm.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            (Service::Iam, "eu-west-1", "https://iam.amazonaws.com", "us-east-1"),
            (Service::Iam, "cn-northwest-1", "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            (Service::Iam, "us-gov-east-1", "https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
            (Service::Iam, "eusc-de-east-1", "https://iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
            (Service::Route53, "eu-west-1", "https://route53.amazonaws.com", "us-east-1"),
            (Service::Route53, "cn-north-1", "https://route53.amazonaws.com.cn", "cn-northwest-1"),
            (Service::Route53, "us-gov-west-1", "https://route53.us-gov.amazonaws.com", "us-gov-west-1"),
        ] {
            assert_eq!(service.endpoint(region), endpoint);
            assert_eq!(service.signing_region(region), signed_for);
        }
    }
}
