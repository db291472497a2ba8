//! Where the inbox goes when the machine ends: the port, and its contract.

use std::fmt;

use futures_util::future::BoxFuture;

/// A place that outlives the machine, for snapshots of at most [`SNAPSHOT_MAX`](super::snapshot::SNAPSHOT_MAX) bytes.
///
/// Each snapshot has a name of its own, so that one that could not be read when a machine began is not overwritten when
/// it ends. A `list` sees what was saved before it; a call ends within the vault's own timeout.
pub trait Vault: fmt::Debug + Send + Sync {
    /// The names of all that was saved and not removed, the oldest first.
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, VaultError>>;

    /// What was saved under this name; `None` where nothing is there any more.
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, VaultError>>;

    /// Keeps `snapshot` beside what is there.
    fn save(&self, snapshot: Vec<u8>) -> BoxFuture<'_, Result<(), VaultError>>;

    /// Forgets what has this name.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), VaultError>>;
}

/// The place cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the place for the inbox ({place}) cannot be used")]
pub struct VaultError {
    /// Where it is.
    pub place: String,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
