//! Buckets: private, encrypted, emptied by themselves.

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::Method;
use quick_xml::escape::escape;
use serde::{Deserialize, de::DeserializeOwned};

use super::{Bucket, S3};
use crate::{
    error::{Error, Kind},
    xml,
};

/// The namespace that request bodies are in.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// What of a bucket's settings irp looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketSettings {
    /// Nothing in it can be made public.
    pub is_private: bool,
    /// `AES256`, or `aws:kms`.
    pub encryption: Option<String>,
    /// The KMS key of that encryption.
    pub kms_key: Option<String>,
    /// Prefixes, and the days after which what begins with them is deleted.
    pub expiry: Vec<(String, u32)>,
}

impl S3 {
    /// GetPublicAccessBlock, GetBucketEncryption and GetBucketLifecycleConfiguration. What is not set reads as its default.
    ///
    /// # Errors
    ///
    /// When there is no such bucket, or AWS refuses or is not reached.
    pub async fn bucket_settings(&self, bucket: &Bucket) -> Result<BucketSettings, Error> {
        let access: Option<AccessBlock> =
            self.setting("GetPublicAccessBlock", bucket, "publicAccessBlock").await?;
        let encryption: Option<Encryption> =
            self.setting("GetBucketEncryption", bucket, "encryption").await?;
        let lifecycle: Option<Lifecycle> =
            self.setting("GetBucketLifecycleConfiguration", bucket, "lifecycle").await?;
        let by_default = encryption.and_then(|encryption| encryption.rule.into_iter().next()?.by_default);
        let (encryption, kms_key) = by_default.map_or((None, None), |by| (Some(by.algorithm), by.kms_key));
        let rules = lifecycle.map(|lifecycle| lifecycle.rule).unwrap_or_default();
        Ok(BucketSettings {
            is_private: access.is_some_and(|block| {
                [block.acls, block.ignored, block.policy, block.buckets]
                    .iter()
                    .all(|switch| switch.trim() == "true")
            }),
            encryption,
            kms_key,
            expiry: rules.into_iter().filter_map(Rule::expiry).collect(),
        })
    }

    async fn setting<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        bucket: &Bucket,
        what: &str,
    ) -> Result<Option<T>, Error> {
        let call = self.call(operation, Method::GET, bucket, "").query(what, "");
        let action = call.action;
        match call.send(&self.aws).await {
            Ok(answer) => xml::parse(action, &answer).map(Some),
            Err(error) if error.kind() == Kind::NotFound && !error.is("NoSuchBucket") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// HeadBucket: whether there is one of this name that the caller may see.
    ///
    /// # Errors
    ///
    /// [`Denied`](Kind::Denied) when it is somebody else's.
    pub async fn bucket_exists(&self, bucket: &Bucket) -> Result<bool, Error> {
        match self.call("HeadBucket", Method::HEAD, bucket, "").send(&self.aws).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// CreateBucket in this region. One that is there already and is the caller's is no error.
    ///
    /// # Errors
    ///
    /// [`Exists`](Kind::Exists) when the name is taken by somebody else.
    pub async fn create_bucket(&self, bucket: &Bucket) -> Result<(), Error> {
        let region = self.aws.region();
        let call = self.call("CreateBucket", Method::PUT, bucket, "");
        // The oldest region is the one that must not be named.
        let call = if region == "us-east-1" {
            call
        } else {
            call.body(
                "application/xml",
                format!(
                    "<CreateBucketConfiguration xmlns=\"{NAMESPACE}\"><LocationConstraint>{region}\
                     </LocationConstraint></CreateBucketConfiguration>"
                ),
            )
        };
        match call.send(&self.aws).await {
            Err(error) if error.is("BucketAlreadyOwnedByYou") => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// PutPublicAccessBlock: nothing in it can be made public.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn block_public_access(&self, bucket: &Bucket) -> Result<(), Error> {
        let switches = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];
        let switches: String = switches.iter().map(|name| format!("<{name}>true</{name}>")).collect();
        let body = format!(
            "<PublicAccessBlockConfiguration xmlns=\"{NAMESPACE}\">{switches}</PublicAccessBlockConfiguration>"
        );
        self.configure("PutPublicAccessBlock", bucket, "publicAccessBlock", body).await
    }

    /// PutBucketEncryption: with a KMS key, or with S3's own.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn encrypt_bucket(&self, bucket: &Bucket, kms_key: Option<&str>) -> Result<(), Error> {
        let how = match kms_key {
            Some(key) => format!(
                "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{}</KMSMasterKeyID>",
                escape(key)
            ),
            None => "<SSEAlgorithm>AES256</SSEAlgorithm>".into(),
        };
        let body = format!(
            "<ServerSideEncryptionConfiguration xmlns=\"{NAMESPACE}\"><Rule><ApplyServerSideEncryptionByDefault>{how}\
             </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
        );
        self.configure("PutBucketEncryption", bucket, "encryption", body).await
    }

    /// PutBucketLifecycleConfiguration: what is below `prefix` is deleted after so many days.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn expire_objects(&self, bucket: &Bucket, prefix: &str, days: u32) -> Result<(), Error> {
        let body = format!(
            "<LifecycleConfiguration xmlns=\"{NAMESPACE}\"><Rule><ID>irp</ID><Filter><Prefix>{}</Prefix></Filter>\
             <Status>Enabled</Status><Expiration><Days>{days}</Days></Expiration></Rule></LifecycleConfiguration>",
            escape(prefix)
        );
        self.configure("PutBucketLifecycleConfiguration", bucket, "lifecycle", body).await
    }

    /// DeleteBucket, which must be empty; `false` when there was none.
    ///
    /// # Errors
    ///
    /// [`InUse`](Kind::InUse) when something is in it.
    pub async fn delete_bucket(&self, bucket: &Bucket) -> Result<bool, Error> {
        match self.call("DeleteBucket", Method::DELETE, bucket, "").send(&self.aws).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn configure(
        &self,
        operation: &'static str,
        bucket: &Bucket,
        what: &str,
        body: String,
    ) -> Result<(), Error> {
        // S3 demands a checksum of these bodies beside the signature.
        let checksum = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, body.as_bytes()));
        let call = self.call(operation, Method::PUT, bucket, "").query(what, "");
        let call = call.header("x-amz-checksum-sha256", checksum).body("application/xml", body);
        call.send(&self.aws).await.map(|_| ())
    }
}

#[derive(Deserialize)]
struct AccessBlock {
    #[serde(default, rename = "BlockPublicAcls")]
    acls: String,
    #[serde(default, rename = "IgnorePublicAcls")]
    ignored: String,
    #[serde(default, rename = "BlockPublicPolicy")]
    policy: String,
    #[serde(default, rename = "RestrictPublicBuckets")]
    buckets: String,
}

#[derive(Deserialize)]
struct Encryption {
    #[serde(default, rename = "Rule")]
    rule: Vec<EncryptionRule>,
}

#[derive(Deserialize)]
struct EncryptionRule {
    #[serde(rename = "ApplyServerSideEncryptionByDefault")]
    by_default: Option<ByDefault>,
}

#[derive(Deserialize)]
struct ByDefault {
    #[serde(rename = "SSEAlgorithm")]
    algorithm: String,
    #[serde(rename = "KMSMasterKeyID")]
    kms_key: Option<String>,
}

#[derive(Deserialize)]
struct Lifecycle {
    #[serde(default, rename = "Rule")]
    rule: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    #[serde(default)]
    status: String,
    prefix: Option<String>,
    filter: Option<Filter>,
    expiration: Option<Expiration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Expiration {
    days: Option<u32>,
}

impl Rule {
    fn expiry(self) -> Option<(String, u32)> {
        let days = self.expiration?.days?;
        let prefix = self.prefix.or_else(|| self.filter.and_then(|filter| filter.prefix));
        (self.status == "Enabled").then(|| (prefix.unwrap_or_default(), days))
    }
}
