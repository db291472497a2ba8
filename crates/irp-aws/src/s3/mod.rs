//! S3: buckets and objects. XML over REST.

mod buckets;
mod objects;

use std::{fmt, str::FromStr};

use http::Method;

pub use self::{
    buckets::BucketSettings,
    objects::{Object, ObjectSummary, PutObject, When},
};
use crate::{account::Aws, call::Call, encode, service::Service};

/// S3 in one region.
#[derive(Debug, Clone)]
pub struct S3 {
    aws: Aws,
    /// The account that buckets must belong to.
    owner: Option<String>,
}

/// A bucket's name: 3 to 63 of `a–z`, `0–9`, `-` and `.`, beginning and ending with a letter or digit. It becomes part of
/// a host name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bucket(String);

/// The text is no bucket's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no bucket's name: 3 to 63 of a–z, 0–9, - and . with a letter or digit at both ends")]
pub struct BucketError(String);

impl FromStr for Bucket {
    type Err = BucketError;

    fn from_str(name: &str) -> Result<Self, BucketError> {
        let is_end =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let bytes = name.as_bytes();
        let good = (3..=63).contains(&bytes.len())
            && is_end(bytes.first())
            && is_end(bytes.last())
            && bytes.iter().all(|byte| is_end(Some(byte)) || matches!(byte, b'-' | b'.'))
            && !name.contains("..");
        if good { Ok(Self(name.to_owned())) } else { Err(BucketError(name.to_owned())) }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl S3 {
    pub(crate) fn new(aws: Aws) -> Self {
        Self { aws, owner: None }
    }

    /// The same, but a bucket that does not belong to this account is refused by AWS: names of buckets are everybody's,
    /// and one that can be guessed may have been taken by a stranger.
    #[must_use]
    pub fn owned_by(self, account: &str) -> Self {
        Self { owner: Some(account.to_owned()), ..self }
    }

    /// A call of a bucket or, with a key, of an object in it.
    fn call(&self, operation: &'static str, method: Method, bucket: &Bucket, key: &str) -> Call {
        let mut call = Call::new(Service::S3, operation, method);
        if let Some(owner) = &self.owner {
            call = call.header("x-amz-expected-bucket-owner", owner);
        }
        let endpoint = self.aws.endpoint(Service::S3);
        let key = encode::path(key);
        // Below its own host unless that would not match the certificate, or is not AWS's at all.
        match endpoint.strip_prefix("https://") {
            Some(host) if !self.aws.is_elsewhere(Service::S3) && !bucket.0.contains('.') => {
                call.base(format!("https://{bucket}.{host}")).path(format!("/{key}"))
            }
            _ if key.is_empty() => call.base(endpoint).path(format!("/{bucket}")),
            _ => call.base(endpoint).path(format!("/{bucket}/{key}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_cannot_change_the_host() {
        for good in ["irp-1234", "a.b-c", "012"] {
            assert!(good.parse::<Bucket>().is_ok(), "{good}");
        }
        for bad in ["", "ab", "A-b-c", "a/b/c", "evil.example.com/x", "-abc", "abc.", "a..b", "a_b"] {
            assert!(bad.parse::<Bucket>().is_err(), "{bad}");
        }
    }
}
