//! A copy of what is kept in AWS, on the machine's own disk: AWS out of reach is no reason not to serve after the service
//! was started again.
//!
//! The store in AWS is the one that counts. Only what cannot be read there is taken from the copy, and nothing is
//! written to the copy alone; so a process that sees the copy can serve, but not order. AWS that is reached and says
//! nothing counts as out of reach soon: at the start of the service visitors wait for the answer.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use irp_edge::certs::{
    FileStore, Store,
    store::{Blob, BlobName, StoreError, Version, When, Written},
};
use tokio::time::timeout;

/// How long the store in AWS may take where there is a copy. One call with all its tries takes minutes, and systemd gives
/// the service 90 s to start, in which several are made.
const WAITED_FOR: Duration = Duration::from_secs(10);

/// A store with a copy.
#[derive(Debug)]
pub(crate) struct Mirror {
    original: Arc<dyn Store>,
    copy: FileStore,
}

impl Mirror {
    pub(crate) fn new(original: Arc<dyn Store>, copy: FileStore) -> Self {
        Self { original, copy }
    }

    async fn read(&self, name: &BlobName) -> Result<Option<Blob>, StoreError> {
        let kept = self.kept(name).await;
        let asked = self.original.get(name);
        let answer = match kept {
            Some(_) => timeout(WAITED_FOR, asked).await.unwrap_or_else(|_| Err(late(name))),
            None => asked.await,
        };
        match (answer, kept) {
            (Ok(blob), kept) => {
                self.keep(name, kept, blob.as_ref().map(Blob::bytes)).await;
                Ok(blob)
            }
            (Err(error @ StoreError::Get { .. }), Some(kept)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, %name, "AWS does not give it: the copy on this machine is used");
                // No version of the original, so that nothing is replaced that was not seen.
                Ok(Some(Blob::new(kept.bytes().to_vec(), Version("copy".into()))))
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn kept(&self, name: &BlobName) -> Option<Blob> {
        self.copy.get(name).await.ok().flatten()
    }

    async fn keep(&self, name: &BlobName, kept: Option<Blob>, bytes: Option<&[u8]>) {
        let result = match (bytes, kept) {
            (None, None) => return,
            (Some(bytes), Some(kept)) if kept.bytes() == bytes => return,
            (Some(bytes), _) => self.copy.put(name, bytes, When::Always).await,
            (None, Some(_)) => self.copy.delete(name, When::Always).await,
        };
        if let Err(error) = result {
            tracing::warn!(%error, %name, "there is no copy of it on this machine");
        }
    }
}

fn late(name: &BlobName) -> StoreError {
    let source = format!("AWS has not answered within {} s", WAITED_FOR.as_secs()).into();
    StoreError::Get { name: name.clone(), source }
}

impl Store for Mirror {
    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Option<Blob>, StoreError>> {
        Box::pin(self.read(name))
    }

    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        bytes: &'a [u8],
        when: When,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async move {
            let written = self.original.put(name, bytes, when).await?;
            if matches!(written, Written::Done(_)) {
                self.keep(name, self.kept(name).await, Some(bytes)).await;
            }
            Ok(written)
        })
    }

    fn delete<'a>(&'a self, name: &'a BlobName, when: When) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async move {
            let written = self.original.delete(name, when).await?;
            if matches!(written, Written::Done(_)) {
                self.keep(name, self.kept(name).await, None).await;
            }
            Ok(written)
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<BlobName>, StoreError>> {
        self.original.list(prefix)
    }
}
