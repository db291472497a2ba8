//! The way to AWS: region, credentials, endpoints; from it each service's client.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::{region::Region, service_config::ServiceConfigKey};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    Ec2, Iam, InstanceConnect, Route53, S3, ServiceQuotas, Ssm, Sts,
    credentials::CachedCredentials,
    retry::Pace,
    service::{ALL, Partition, Service},
    transport::Transport,
};

/// What is given rather than found. The default finds everything as the AWS CLI does: environment, profiles, SSO,
/// web identity, credential processes, metadata of containers and instances.
#[derive(Debug, Default)]
pub struct Options {
    /// The profile; `AWS_PROFILE`, else `default`, if not given.
    pub profile: Option<String>,
    /// The region; `AWS_REGION`, the profile's, or the instance's if not given.
    pub region: Option<String>,
    /// One URL for all services, as `AWS_ENDPOINT_URL` gives it.
    pub endpoint_url: Option<String>,
    /// Credentials.
    pub credentials: Option<AccessKey>,
    /// Where the instance metadata service is, if not at its usual address.
    pub metadata: Option<String>,
    /// How calls are repeated.
    pub pace: Pace,
}

/// Credentials that were given.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// The access key's id.
    pub id: String,
    /// The secret access key.
    pub secret: SecretString,
    /// The token of temporary credentials.
    pub session_token: Option<SecretString>,
}

/// No call can be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no region.
    #[error("no AWS region is set: give one, set AWS_REGION, or run `aws configure`")]
    NoRegion,
    /// The region is no region's name.
    #[error("`{0}` is no AWS region's name, such as eu-central-1")]
    Region(String),
    /// An endpoint is no URL.
    #[error("the endpoint of {service}, `{url}`, is no URL with a host")]
    Endpoint {
        /// Of which service.
        service: Service,
        /// What is set.
        url: String,
    },
}

/// Access to AWS in one region. Clones share connections and credentials.
#[derive(Clone)]
pub struct Aws {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) region: String,
    pub(crate) credentials: CachedCredentials,
    pub(crate) transport: Transport,
    pub(crate) pace: Pace,
    endpoints: HashMap<Service, String>,
    /// By how many seconds our clock was ahead of the last answer's; [`UNTOLD`] before the first.
    pub(crate) ahead_s: AtomicI64,
}

/// No answer has told a time yet.
const UNTOLD: i64 = i64::MIN;

impl Aws {
    /// Reads environment and profiles. Credentials are only asked for with the first call.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub async fn load(options: Options) -> Result<Self, LoadError> {
        let transport = Transport::new();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(transport.http_client());
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &options.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(key) = options.credentials {
            loader = loader.credentials_provider(key.into_provider());
        } else if let Some(url) = &options.metadata {
            loader = loader.credentials_provider(role_of_instance(url));
        }
        let config = loader.load().await;
        let region = config.region().map(ToString::to_string).ok_or(LoadError::NoRegion)?;
        if !is_region(&region) {
            return Err(LoadError::Region(region));
        }
        let mut endpoints = HashMap::new();
        for service in ALL {
            if let Some(url) = configured_endpoint(&config, service) {
                endpoints.insert(service, checked(service, url)?);
            }
        }
        let credentials = CachedCredentials::new(config.credentials_provider());
        let (pace, ahead_s) = (options.pace, AtomicI64::new(UNTOLD));
        let shared = Shared { region, credentials, transport, pace, endpoints, ahead_s };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The region, such as `ap-northeast-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.shared.region
    }

    /// The partition of that region.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition::of(&self.shared.region)
    }

    /// By how many seconds the clock here is ahead of that of AWS, as the last answer told (`Date`); `None` before the
    /// first.
    #[must_use]
    pub fn clock_ahead_s(&self) -> Option<i64> {
        Some(self.shared.ahead_s.load(Ordering::Relaxed)).filter(|ahead| *ahead != UNTOLD)
    }

    /// EC2: machines, networks, images, launch templates.
    #[must_use]
    pub fn ec2(&self) -> Ec2 {
        Ec2::new(self.clone())
    }

    /// Route 53: zones and records.
    #[must_use]
    pub fn route53(&self) -> Route53 {
        Route53::new(self.clone())
    }

    /// Systems Manager: parameters and sessions.
    #[must_use]
    pub fn ssm(&self) -> Ssm {
        Ssm::new(self.clone())
    }

    /// S3: buckets and objects.
    #[must_use]
    pub fn s3(&self) -> S3 {
        S3::new(self.clone())
    }

    /// IAM: roles, policies, instance profiles.
    #[must_use]
    pub fn iam(&self) -> Iam {
        Iam::new(self.clone())
    }

    /// STS: who is calling.
    #[must_use]
    pub fn sts(&self) -> Sts {
        Sts::new(self.clone())
    }

    /// EC2 Instance Connect: keys for a minute.
    #[must_use]
    pub fn instance_connect(&self) -> InstanceConnect {
        InstanceConnect::new(self.clone())
    }

    /// Service Quotas.
    #[must_use]
    pub fn quotas(&self) -> ServiceQuotas {
        ServiceQuotas::new(self.clone())
    }

    /// Where a service is called: a URL without a final slash, as told by `AWS_ENDPOINT_URL_<SERVICE>`,
    /// `AWS_ENDPOINT_URL` or the profile, else the public one.
    #[must_use]
    pub fn endpoint(&self, service: Service) -> String {
        let own = self.shared.endpoints.get(&service).cloned();
        own.unwrap_or_else(|| service.endpoint(&self.shared.region))
    }

    /// Whether a service is called elsewhere than at its public endpoint.
    pub(crate) fn is_elsewhere(&self, service: Service) -> bool {
        self.shared.endpoints.contains_key(&service)
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("region", &self.shared.region).finish_non_exhaustive()
    }
}

impl AccessKey {
    fn into_provider(self) -> SharedCredentialsProvider {
        let token = self.session_token.map(|token| token.expose_secret().to_owned());
        let secret = self.secret.expose_secret();
        SharedCredentialsProvider::new(Credentials::new(self.id, secret, token, None, "given"))
    }
}

/// The role of the instance, asked at another address than usual.
fn role_of_instance(url: &str) -> SharedCredentialsProvider {
    let metadata =
        aws_config::imds::Client::builder().endpoint_mode(aws_config::imds::client::EndpointMode::IpV4);
    let metadata = match metadata.clone().endpoint(url) {
        Ok(metadata) => metadata,
        // An address that cannot be parsed is reported by the first call: nothing answers.
        Err(_) => metadata,
    };
    let provider = aws_config::imds::credentials::ImdsCredentialsProvider::builder();
    SharedCredentialsProvider::new(provider.imds_client(metadata.build()).build())
}

/// `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, or what the profile says, in the order of the SDKs.
fn configured_endpoint(config: &SdkConfig, service: Service) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service.id())
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let own = config.service_config().and_then(|settings| settings.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

fn checked(service: Service, url: String) -> Result<String, LoadError> {
    let is_url = url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_url { Ok(url.trim_end_matches('/').to_owned()) } else { Err(LoadError::Endpoint { service, url }) }
}

/// The region becomes part of host names, so it must not hold anything else.
fn is_region(region: &str) -> bool {
    !region.is_empty()
        && region.len() <= 63
        && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
