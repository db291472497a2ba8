//! Where things are kept in the account: certificates, their keys, secrets.

use std::{fmt, str::FromStr};

use super::{Label, ValueError};

/// The longest name of a parameter (SSM, PutParameter).
const PARAMETER_MAX: usize = 1011;

/// Where certificate and keys are kept between launches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertStore {
    /// SecureString parameters of Systems Manager.
    Ssm,
    /// Objects of an S3 bucket.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the names of the objects begin with; no slash at either end, may be empty.
        prefix: String,
    },
    /// The machine's own disk: gone with the machine.
    File,
}

impl FromStr for CertStore {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "ssm" => return Ok(Self::Ssm),
            "file" => return Ok(Self::File),
            _ => {}
        }
        let rest = text.strip_prefix("s3://").ok_or_else(|| ValueError::new("is no store"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let in_bucket =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
        let edges = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(in_bucket)
            && bucket.starts_with(edges)
            && bucket.ends_with(edges)
            && !bucket.contains("..");
        if !is_bucket {
            return Err(ValueError::new("names no bucket that S3 could have"));
        }
        let in_prefix = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        if prefix.len() > 512
            || prefix.starts_with('/')
            || prefix.contains("//")
            || !prefix.bytes().all(in_prefix)
        {
            return Err(ValueError::new(
                "has a prefix with other characters than letters, digits and / - _ .",
            ));
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for CertStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssm => f.write_str("ssm"),
            Self::File => f.write_str("file"),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// A key of KMS: an id, an ARN, or `alias/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsKey(String);

impl KmsKey {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KmsKey {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte);
        let shape = text.starts_with("alias/") || text.starts_with("arn:aws") || text.contains('-');
        if shape && text.len() <= 256 && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new("is no key of KMS"))
        }
    }
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a secret is: `ssm:/irp/secret/HOST/NAME` in Parameter Store, `secretsmanager:irp/secret/HOST/NAME` in Secrets
/// Manager. It is not the secret, and may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference(String);

impl SecretReference {
    /// What a reference to Parameter Store begins with.
    pub const SCHEME: &str = "ssm:";

    /// What a reference to Secrets Manager begins with.
    pub const SECRETS_MANAGER: &str = "secretsmanager:";

    /// Whether a text is meant to be a reference; everything else is taken for the secret itself.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(Self::SCHEME) || text.starts_with(Self::SECRETS_MANAGER)
    }

    /// Reads a reference to a secret of `host`, the only ones that its machine may read.
    ///
    /// # Errors
    ///
    /// When it is no such reference. The message does not quote the text.
    pub fn parse(text: &str, host: &Label) -> Result<Self, ValueError> {
        let folder = format!("{}/irp/secret/{host}/", Self::SCHEME);
        let managed = format!("{}irp/secret/{host}/", Self::SECRETS_MANAGER);
        let name = text.strip_prefix(&folder).or_else(|| text.strip_prefix(&managed)).unwrap_or_default();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || text.len() > PARAMETER_MAX || !name.bytes().all(allowed) {
            return Err(ValueError::new(format!("is no reference that begins with {folder} or {managed}")));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_three() {
        for text in ["ssm", "file", "s3://my-bucket", "s3://my-bucket/certs/irp"] {
            assert_eq!(text.parse::<CertStore>().unwrap().to_string(), text);
        }
        assert_eq!("s3://my-bucket/".parse::<CertStore>().unwrap().to_string(), "s3://my-bucket");
        for text in [
            "",
            "SSM",
            "s3://",
            "s3://a",
            "s3://My_Bucket",
            "s3://b..b",
            "s3://bucket/$(id)",
            "s3://bucket//x",
        ] {
            assert!(text.parse::<CertStore>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_reference_stays_with_its_host() {
        let host: Label = "alice".parse().unwrap();
        for text in ["ssm:/irp/secret/alice/slack", "secretsmanager:irp/secret/alice/slack"] {
            assert!(SecretReference::parse(text, &host).is_ok() && SecretReference::is_meant(text), "{text}");
        }
        for text in [
            "8f742231b10e8888abcd99yyyzzz85a5",
            "ssm:/irp/secret/bob/slack",
            "ssm:/irp/secret/alice/",
            "secretsmanager:irp/secret/bob/slack",
            "secretsmanager:/irp/secret/alice/slack",
            "ssm:/irp/secret/alice/a b",
        ] {
            assert!(SecretReference::parse(text, &host).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_quoted() {
        let error = SecretReference::parse("ssm:8f742231b10e", &"alice".parse().unwrap()).unwrap_err();
        assert!(!error.to_string().contains("8f74"), "{error}");
    }

    #[test]
    fn keys_of_kms_have_three_shapes() {
        for text in [
            "alias/irp",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        ] {
            assert_eq!(text.parse::<KmsKey>().unwrap().as_str(), text);
        }
        for text in ["", "irp", "alias/a b", "alias/\"x"] {
            assert!(text.parse::<KmsKey>().is_err(), "{text}");
        }
    }
}
