//! The store as a folder on this machine: one file per blob.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use futures_util::future::BoxFuture;

use super::{
    folder::{Folder, Readers},
    store::{Blob, BlobName, Cause, MAX_BLOB, Store, StoreError, Version, When, Written},
};

/// A folder of mode 0700 with files of mode 0600. Processes of one machine may share it.
#[derive(Debug, Clone)]
pub struct FileStore {
    folder: Folder,
}

impl FileStore {
    /// Opens the folder, and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be made or is not ours to narrow to 0700.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let folder = Folder::open(path).map_err(|source| OpenError { path: path.to_owned(), source })?;
        Ok(Self { folder })
    }
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {} as the certificate store", path.display())]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

impl Store for FileStore {
    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Option<Blob>, StoreError>> {
        let file = name.to_string();
        Box::pin(async move {
            self.on_disk(move |folder| folder.read(&file))
                .await
                .map(|bytes| {
                    bytes.map(|bytes| {
                        let version = version_of(&bytes);
                        Blob::new(bytes, version)
                    })
                })
                .map_err(|source| StoreError::Get { name: name.clone(), source })
        })
    }

    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        bytes: &'a [u8],
        when: When,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        let (file, bytes) = (name.to_string(), bytes.to_vec());
        Box::pin(async move {
            self.on_disk(move |folder| {
                if bytes.len() > MAX_BLOB {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any certificate"));
                }
                let lock = folder.lock()?;
                if !holds(folder, &file, &when)? {
                    return Ok(Written::Refused);
                }
                folder.write(&lock, &file, &bytes, Readers::Myself)?;
                Ok(Written::Done(version_of(&bytes)))
            })
            .await
            .map_err(|source| StoreError::Put { name: name.clone(), source })
        })
    }

    fn delete<'a>(&'a self, name: &'a BlobName, when: When) -> BoxFuture<'a, Result<Written, StoreError>> {
        let file = name.to_string();
        Box::pin(async move {
            self.on_disk(move |folder| {
                let lock = folder.lock()?;
                if !holds(folder, &file, &when)? {
                    return Ok(Written::Refused);
                }
                folder.remove(&lock, &file)?;
                Ok(Written::Done(Version(String::new())))
            })
            .await
            .map_err(|source| StoreError::Delete { name: name.clone(), source })
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<BlobName>, StoreError>> {
        Box::pin(async move {
            let names = self.on_disk(Folder::names).await.map_err(|source| StoreError::List { source })?;
            let mut names: Vec<_> = names
                .iter()
                .filter(|name| name.starts_with(prefix))
                .filter_map(|name| BlobName::parse(name))
                .collect();
            names.sort();
            Ok(names)
        })
    }
}

impl FileStore {
    /// Syncing a disk can take long, so it is done beside the threads that serve connections. The work is
    /// awaited here; if the caller goes away it still ends whole.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Cause> {
        let folder = self.folder.clone();
        match tokio::task::spawn_blocking(move || work(&folder)).await {
            Ok(result) => result.map_err(Cause::from),
            Err(ended) => Err(ended.into()),
        }
    }
}

fn holds(folder: &Folder, file: &str, when: &When) -> io::Result<bool> {
    Ok(match when {
        When::Always => true,
        When::Absent => folder.read(file)?.is_none(),
        When::Unchanged(version) => folder.read(file)?.is_some_and(|bytes| version_of(&bytes) == *version),
    })
}

/// The digest of the content: the same content again is the same version, which is all that callers need.
fn version_of(bytes: &[u8]) -> Version {
    Version(hex(digest::digest(&digest::SHA256, bytes).as_ref()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
