//! Certificates in S3, one object for each blob, by conditional writes.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use irp_aws::{
    Kind, S3,
    s3::{Bucket, PutObject, When as Condition},
};
use irp_edge::certs::{
    Store,
    store::{Blob, BlobName, Cause, MAX_BLOB, StoreError, Version, When, Written},
};

/// The objects below one prefix of a bucket.
#[derive(Debug)]
pub(crate) struct S3Store {
    s3: S3,
    bucket: Bucket,
    /// With a slash at its end.
    prefix: String,
    kms_key: Option<String>,
}

impl S3Store {
    /// The store of one host name: objects `PREFIX/NAME/…`, encrypted with this KMS key or as the bucket says.
    pub(crate) fn new(s3: S3, bucket: Bucket, prefix: &str, name: &str, kms_key: Option<String>) -> Self {
        let prefix = prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        Self { s3, bucket, prefix: format!("{prefix}{slash}{name}/"), kms_key }
    }

    fn key(&self, name: &BlobName) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn remove(&self, name: &BlobName, when: When) -> Result<Written, Cause> {
        let condition = match when {
            When::Always => Condition::Always,
            // There is nothing to remove when there is nothing.
            When::Absent => return Ok(Written::Refused),
            When::Unchanged(version) => {
                // A deletion of what is absent succeeds in S3, whatever its condition.
                match self.s3.head_object(&self.bucket, &self.key(name)).await? {
                    Some(object) if object.etag == version.0 => Condition::Unchanged(version.0),
                    _ => return Ok(Written::Refused),
                }
            }
        };
        let deleted = self.s3.delete_object(&self.bucket, &self.key(name), &condition).await;
        written(deleted.map(|()| Version(String::new())))
    }
}

fn written(result: Result<Version, irp_aws::Error>) -> Result<Written, Cause> {
    match result {
        Ok(version) => Ok(Written::Done(version)),
        Err(error) if error.kind() == Kind::Precondition => Ok(Written::Refused),
        Err(error) => Err(error.into()),
    }
}

impl Store for S3Store {
    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Option<Blob>, StoreError>> {
        Box::pin(async move {
            let read = self.s3.get_object(&self.bucket, &self.key(name), MAX_BLOB).await;
            let object =
                read.map_err(|error| StoreError::Get { name: name.clone(), source: error.into() })?;
            Ok(object.map(|object| Blob::new(object.body.to_vec(), Version(object.etag))))
        })
    }

    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        bytes: &'a [u8],
        when: When,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async move {
            let failed = |source| StoreError::Put { name: name.clone(), source };
            if bytes.len() > MAX_BLOB {
                return Err(failed("larger than any certificate".into()));
            }
            let when = match when {
                When::Always => Condition::Always,
                When::Absent => Condition::Absent,
                When::Unchanged(version) => Condition::Unchanged(version.0),
            };
            let body = Bytes::copy_from_slice(bytes);
            let put = PutObject { body, when, kms_key: self.kms_key.clone(), metadata: Default::default() };
            let put = self.s3.put_object(&self.bucket, &self.key(name), put).await;
            written(put.map(Version)).map_err(failed)
        })
    }

    fn delete<'a>(&'a self, name: &'a BlobName, when: When) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async move {
            self.remove(name, when).await.map_err(|source| StoreError::Delete { name: name.clone(), source })
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<BlobName>, StoreError>> {
        Box::pin(async move {
            let listed = self.s3.list_objects(&self.bucket, &format!("{}{prefix}", self.prefix)).await;
            let listed = listed.map_err(|error| StoreError::List { source: error.into() })?;
            let names = listed.iter().filter_map(|object| object.key.strip_prefix(&self.prefix));
            let mut names: Vec<BlobName> = names.filter_map(BlobName::parse).collect();
            names.sort();
            Ok(names)
        })
    }
}
