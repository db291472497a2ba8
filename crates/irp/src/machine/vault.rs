//! Where events that nobody has taken go when the machine ends: the bucket of `irp setup`, sealed as they lie on the
//! disk. Their key is in Parameter Store, so that whoever reads the bucket alone reads nothing.
//!
//! Each snapshot is an object `inbox/NAME/TIME-ID`, and is removed by the machine that has taken it in. So one that could
//! not be read is not overwritten, and a machine that is late to end does not undo what its successor has left.

use std::{
    sync::Mutex,
    time::{Duration, SystemTime},
};

use aws_lc_rs::rand;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use irp_aws::{
    Kind, S3,
    s3::{Bucket, PutObject, When},
};
use irp_edge::inbox::{Vault, VaultError, snapshot::SNAPSHOT_MAX};
use irp_launch::tags;
use irp_wire::name::Hostname;
use tokio::time::timeout;

use crate::clock;

/// How long a call may take at the start, while no visitor is served: the one for a snapshot, and the one for their names.
/// systemd gives the service 90 s to start.
const READ_WITHIN: Duration = Duration::from_secs(30);
const LISTED_WITHIN: Duration = Duration::from_secs(10);

/// How long it may take to leave what there is. systemd waits a minute for the edge to end, in which requests are
/// drained, too.
const LEFT_WITHIN: Duration = Duration::from_secs(25);

/// The folder of one name in the bucket.
#[derive(Debug)]
pub(crate) struct S3Vault {
    s3: S3,
    bucket: Bucket,
    folder: String,
    kms_key: Option<String>,
    /// What was found when the bucket was looked for, to be told once without another call.
    seen: Mutex<Option<Vec<String>>>,
}

impl S3Vault {
    /// The folder of `name`, if the bucket is there and may be read. One that only does not answer is taken for one that
    /// is there: what is left in the end may reach it.
    pub(crate) async fn open(
        s3: S3,
        bucket: Bucket,
        name: &Hostname,
        kms_key: Option<String>,
    ) -> Option<Self> {
        let vault = Self { s3, bucket, folder: tags::inbox_folder(name), kms_key, seen: Mutex::default() };
        match vault.names().await {
            Ok(names) => *vault.seen() = Some(names),
            Err(Trouble::Refused(error)) if error.is("NoSuchBucket") => {
                tracing::info!(bucket = %vault.bucket, "there is no bucket of `irp setup`: events that wait end with this machine");
                return None;
            }
            Err(Trouble::Refused(error)) if error.kind() == Kind::Denied => {
                tracing::warn!(
                    %error, bucket = %vault.bucket,
                    "events that wait end with this machine: its role may not use the bucket (`irp setup` grants that)"
                );
                return None;
            }
            Err(trouble) => {
                let why = trouble.told();
                tracing::warn!(why, bucket = %vault.bucket, "the bucket for events that wait does not answer");
            }
        }
        Some(vault)
    }

    async fn names(&self) -> Result<Vec<String>, Trouble> {
        let listed = within(LISTED_WITHIN, self.s3.list_objects(&self.bucket, &self.folder)).await?;
        let mut names: Vec<String> = listed
            .into_iter()
            .filter_map(|object| object.key.strip_prefix(&self.folder).map(ToOwned::to_owned))
            .collect();
        // They begin with their time, in a fixed width.
        names.sort();
        Ok(names)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<Vec<String>>> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    fn failed(&self, trouble: Trouble) -> VaultError {
        let source = match trouble {
            Trouble::Refused(error) => error.into(),
            Trouble::Slow => trouble.told().into(),
        };
        VaultError { place: format!("s3://{}/{}", self.bucket, self.folder), source }
    }
}

/// Why a call came to nothing.
enum Trouble {
    Refused(irp_aws::Error),
    Slow,
}

impl Trouble {
    fn told(&self) -> String {
        match self {
            Self::Refused(error) => error.to_string(),
            Self::Slow => "it takes too long".to_owned(),
        }
    }
}

async fn within<T>(
    time: Duration,
    call: impl Future<Output = Result<T, irp_aws::Error>>,
) -> Result<T, Trouble> {
    timeout(time, call).await.map_err(|_| Trouble::Slow)?.map_err(Trouble::Refused)
}

/// A name that no other machine gives at the same time.
fn fresh_name() -> Result<String, VaultError> {
    let mut id = [0; 8];
    rand::fill(&mut id).map_err(|error| VaultError { place: "a name".into(), source: error.into() })?;
    let at = clock::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    Ok(format!("{at:015}-{:016x}", u64::from_be_bytes(id)))
}

impl Vault for S3Vault {
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, VaultError>> {
        Box::pin(async {
            let seen = self.seen().take();
            match seen {
                Some(names) => Ok(names),
                None => self.names().await.map_err(|trouble| self.failed(trouble)),
            }
        })
    }

    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, VaultError>> {
        Box::pin(async move {
            let key = self.key(name);
            let read = within(READ_WITHIN, self.s3.get_object(&self.bucket, &key, SNAPSHOT_MAX)).await;
            let object = read.map_err(|trouble| self.failed(trouble))?;
            Ok(object.map(|object| object.body.to_vec()))
        })
    }

    fn save(&self, snapshot: Vec<u8>) -> BoxFuture<'_, Result<(), VaultError>> {
        Box::pin(async move {
            let put = PutObject {
                body: Bytes::from(snapshot),
                when: When::Always,
                kms_key: self.kms_key.clone(),
                metadata: Default::default(),
            };
            let key = self.key(&fresh_name()?);
            let written = within(LEFT_WITHIN, self.s3.put_object(&self.bucket, &key, put)).await;
            written.map(drop).map_err(|trouble| self.failed(trouble))
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), VaultError>> {
        Box::pin(async move {
            let key = self.key(name);
            let removed = within(READ_WITHIN, self.s3.delete_object(&self.bucket, &key, &When::Always)).await;
            removed.map_err(|trouble| self.failed(trouble))
        })
    }
}
