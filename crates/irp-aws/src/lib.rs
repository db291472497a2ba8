//! AWS, as far as irp needs it: typed calls over signed HTTP, and the metadata of the machine.
//!
//! # Contract
//!
//! - [`Aws::load`] finds region, credentials and endpoints as the AWS CLI does; nothing else here reads the environment.
//!   `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>` are obeyed.
//! - Every call fails with the one [`Error`], which names the action that a policy has to allow, AWS's code, message and
//!   request id, and a [`Kind`] to act upon.
//! - Throttled calls and, where repeating does no harm, lost ones are made again with jitter ([`Pace`]); a client made
//!   by `settling` is patient with what was made a moment ago.
//! - Every try has an end, every answer a largest size, every list a last page.
//! - Credentials, session tokens and parameters never print.
//!
//! The official SDK finds credentials and signs; its generated clients are not used, since they are an order of
//! magnitude more code than everything else in irp.

mod account;
mod call;
mod clock;
mod credentials;
pub mod ec2;
mod encode;
mod error;
mod form;
pub mod iam;
pub mod imds;
mod instance_connect;
mod json;
pub mod quotas;
mod retry;
pub mod route53;
pub mod s3;
mod service;
mod sign;
pub mod ssm;
pub mod sts;
mod transport;
mod xml;

pub use account::{AccessKey, Aws, LoadError, Options};
pub use ec2::Ec2;
pub use error::{Action, Cause, Error, Kind};
pub use iam::Iam;
pub use imds::Imds;
pub use instance_connect::InstanceConnect;
pub use quotas::ServiceQuotas;
pub use retry::Pace;
pub use route53::Route53;
pub use s3::S3;
pub use service::{Partition, Service};
pub use ssm::Ssm;
pub use sts::Sts;
