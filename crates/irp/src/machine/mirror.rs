//! A copy of what is kept in AWS, on the machine's own disk: AWS out of reach is no reason not to serve after the service
//! was started again.
//!
//! The store in AWS is the one that counts. Only what cannot be read there is taken from the copy, and nothing is
//! written to the copy alone; so a process that sees the copy can serve, but not order.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use irp_edge::certs::{
    FileStore, Store,
    store::{Blob, BlobName, StoreError, Version, When, Written},
};

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
        match self.original.get(name).await {
            Ok(blob) => {
                self.keep(name, blob.as_ref().map(Blob::bytes)).await;
                Ok(blob)
            }
            Err(error @ StoreError::Get { .. }) => match self.copy.get(name).await {
                Ok(Some(blob)) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, %name, "AWS does not give it: the copy on this machine is used");
                    // No version of the original, so that nothing is replaced that was not seen.
                    Ok(Some(Blob::new(blob.bytes().to_vec(), Version("copy".into()))))
                }
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn keep(&self, name: &BlobName, bytes: Option<&[u8]>) {
        let kept = self.copy.get(name).await.ok().flatten();
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
                self.keep(name, Some(bytes)).await;
            }
            Ok(written)
        })
    }

    fn delete<'a>(&'a self, name: &'a BlobName, when: When) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async move {
            let written = self.original.delete(name, when).await?;
            if matches!(written, Written::Done(_)) {
                self.keep(name, None).await;
            }
            Ok(written)
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<BlobName>, StoreError>> {
        self.original.list(prefix)
    }
}
