//! Where the inbox goes when the machine ends: the port, and its contract.

use std::fmt;

use futures_util::future::BoxFuture;

/// A place that outlives the machine, for one snapshot of at most [`SNAPSHOT_MAX`](super::snapshot::SNAPSHOT_MAX) bytes.
///
/// A `load` sees what was saved last; a call ends within the vault's own timeout.
pub trait Vault: fmt::Debug + Send + Sync {
    /// What was saved; `None` where nothing is there.
    fn load(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, VaultError>>;

    /// Keeps `snapshot` in the place of what was there.
    fn save(&self, snapshot: Vec<u8>) -> BoxFuture<'_, Result<(), VaultError>>;

    /// Forgets what is there.
    fn remove(&self) -> BoxFuture<'_, Result<(), VaultError>>;
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
