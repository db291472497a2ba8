//! Objects.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::{Bucket, S3};
use crate::{
    error::{Error, Kind},
    transport::Answer,
    xml,
};

/// How long an upload or download may take: a program of 30 MiB over a slow line.
const TRANSFER_WITHIN: Duration = Duration::from_secs(600);

/// So many pages of a list are read.
const PAGES_MAX: usize = 100;

/// An object to be written.
#[derive(Debug, Clone)]
pub struct PutObject {
    /// Its content.
    pub body: Bytes,
    /// Under which condition.
    pub when: When,
    /// A KMS key (id, ARN or alias) to encrypt it with; else as the bucket says.
    pub kms_key: Option<String>,
    /// Names and values kept beside it: ASCII, short.
    pub metadata: BTreeMap<String, String>,
}

/// The condition of a write or deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// None.
    Always,
    /// There is no such object (`If-None-Match: *`).
    Absent,
    /// It is the one with this entity tag (`If-Match`).
    Unchanged(String),
}

/// An object as it was read.
#[derive(Clone)]
pub struct Object {
    /// Its content.
    pub body: Bytes,
    /// Names this content; in quotes.
    pub etag: String,
    /// Names and values kept beside it.
    pub metadata: BTreeMap<String, String>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object")
            .field("etag", &self.etag)
            .field("size", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ObjectSummary {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, RFC 3339.
    pub last_modified: String,
}

impl S3 {
    /// PutObject; gives the entity tag. A conditional write is not repeated by this module when it is not known whether
    /// it was done.
    ///
    /// # Errors
    ///
    /// [`Precondition`](Kind::Precondition) when the condition does not hold.
    pub async fn put_object(&self, bucket: &Bucket, key: &str, put: PutObject) -> Result<String, Error> {
        let mut call = self.call("PutObject", Method::PUT, bucket, key).within(TRANSFER_WITHIN);
        call = match &put.when {
            When::Always => call,
            When::Absent => call.header("if-none-match", "*").once(),
            When::Unchanged(etag) => call.header("if-match", etag).once(),
        };
        if let Some(key) = &put.kms_key {
            call = call.header("x-amz-server-side-encryption", "aws:kms");
            call = call.header("x-amz-server-side-encryption-aws-kms-key-id", key);
        }
        for (name, value) in &put.metadata {
            call = call.metadata(name, value);
        }
        let call = call.body("application/octet-stream", put.body);
        let answer = call.send(&self.aws).await.map_err(missing_is_precondition(&put.when))?;
        Ok(etag(&answer))
    }

    /// GetObject, at most `largest` bytes; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached, or the object is larger.
    pub async fn get_object(
        &self,
        bucket: &Bucket,
        key: &str,
        largest: usize,
    ) -> Result<Option<Object>, Error> {
        let call = self.call("GetObject", Method::GET, bucket, key).at_most(largest).within(TRANSFER_WITHIN);
        match call.send(&self.aws).await {
            Ok(answer) => Ok(Some(object(answer))),
            Err(error) if error.is("NoSuchKey") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// HeadObject: its entity tag and what is kept beside it, with an empty body; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Denied`](Kind::Denied) also when the object is absent and the caller may not list the bucket.
    pub async fn head_object(&self, bucket: &Bucket, key: &str) -> Result<Option<Object>, Error> {
        match self.call("HeadObject", Method::HEAD, bucket, key).send(&self.aws).await {
            Ok(answer) => Ok(Some(object(answer))),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// DeleteObject. One that is absent is no error, unless the condition names one.
    ///
    /// # Errors
    ///
    /// [`Precondition`](Kind::Precondition) when the condition does not hold.
    pub async fn delete_object(&self, bucket: &Bucket, key: &str, when: &When) -> Result<(), Error> {
        let mut call = self.call("DeleteObject", Method::DELETE, bucket, key);
        if let When::Unchanged(etag) = when {
            call = call.header("if-match", etag).once();
        }
        call.send(&self.aws).await.map(|_| ()).map_err(missing_is_precondition(when))
    }

    /// ListObjectsV2: everything whose key begins with `prefix`.
    ///
    /// # Errors
    ///
    /// When AWS refuses, is not reached, or there are more than a hundred pages.
    pub async fn list_objects(&self, bucket: &Bucket, prefix: &str) -> Result<Vec<ObjectSummary>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Page {
            #[serde(default)]
            contents: Vec<ObjectSummary>,
            next_continuation_token: Option<String>,
        }
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        let first = || {
            self.call("ListObjectsV2", Method::GET, bucket, "")
                .query("list-type", "2")
                .query("prefix", prefix)
        };
        for _ in 0..PAGES_MAX {
            let mut call = first();
            if let Some(token) = &token {
                call = call.query("continuation-token", token);
            }
            let action = call.action;
            let page: Page = xml::parse(action, &call.send(&self.aws).await?)?;
            found.extend(page.contents);
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(Error::new(first().action, Kind::Answer, "the bucket has too many objects to list"))
    }

    /// A URL by which whoever has it may GET the object for `lasts` (at most seven days, and not longer than the
    /// credentials that it is made with). No call is made.
    ///
    /// # Errors
    ///
    /// When there are no credentials.
    pub async fn presigned_get(&self, bucket: &Bucket, key: &str, lasts: Duration) -> Result<String, Error> {
        self.call("GetObject", Method::GET, bucket, key).presigned(&self.aws, lasts).await
    }
}

fn etag(answer: &Answer) -> String {
    answer.headers.get("etag").unwrap_or_default().to_owned()
}

fn object(answer: Answer) -> Object {
    let headers = answer.headers.iter();
    let metadata = headers
        .filter_map(|(name, value)| Some((name.strip_prefix("x-amz-meta-")?.to_owned(), value.to_owned())));
    Object { metadata: metadata.collect(), etag: etag(&answer), body: answer.body }
}

/// Writing on the condition that an object is unchanged, when there is none, is answered with `NoSuchKey`.
fn missing_is_precondition(when: &When) -> impl Fn(Error) -> Error {
    let conditional = matches!(when, When::Unchanged(_));
    move |error| {
        if conditional && error.kind() == Kind::NotFound {
            error.with_kind(Kind::Precondition)
        } else {
            error
        }
    }
}
