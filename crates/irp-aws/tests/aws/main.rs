//! Calls to AWS: against a real moto server, against answers that moto does not give, and the metadata service.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ec2;
mod iam;
mod metadata;
mod refusals;
mod route53;
mod s3;
mod ssm;
mod support;
