//! The history of attempts as it lies in the store, shared by all processes that use the store.

use std::time::SystemTime;

use super::{
    budget::History,
    keeper::short_digest,
    store::{BlobName, Store, StoreError, When, Written},
};

/// What the history of a directory is called in a store.
pub(super) const ATTEMPTS: &str = "attempts";

/// How often a change is tried when others change the history at the same time.
const TRIES: usize = 16;

/// The history of one directory as it lies in `store`, for those who only want to know.
///
/// # Errors
///
/// When the store fails, or what it holds cannot be read.
pub async fn read(store: &dyn Store, directory_url: &str) -> Result<History, StoreError> {
    let name = BlobName::of(ATTEMPTS, &[&short_digest(directory_url)]);
    let Some(blob) = store.get(&name).await? else { return Ok(History::default()) };
    serde_json::from_slice(blob.bytes())
        .map_err(|error| StoreError::Damaged { name: name.clone(), source: error.into() })
}

#[derive(Debug)]
pub(super) struct Ledger<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) name: &'a BlobName,
}

impl Ledger<'_> {
    /// Reads the history, lets `change` work on it, and writes it back if that changed anything. Several
    /// processes may do so at once; each change then sees the others'.
    ///
    /// A history that cannot be read is an error: to begin a new one would forget what was tried.
    pub(super) async fn update<R>(
        &self,
        now: SystemTime,
        mut change: impl FnMut(&mut History) -> R,
    ) -> Result<R, StoreError> {
        for _ in 0..TRIES {
            let (mut history, when) = match self.store.get(self.name).await? {
                None => (History::default(), When::Absent),
                Some(blob) => {
                    let history = serde_json::from_slice(blob.bytes()).map_err(|error| {
                        StoreError::Damaged { name: self.name.clone(), source: error.into() }
                    })?;
                    (history, When::Unchanged(blob.version().clone()))
                }
            };
            let before = history.clone();
            history.settle(now);
            let result = change(&mut history);
            if history == before {
                return Ok(result);
            }
            let bytes = serde_json::to_vec(&history)
                .map_err(|error| StoreError::Put { name: self.name.clone(), source: error.into() })?;
            if let Written::Done(_) = self.store.put(self.name, &bytes, when).await? {
                return Ok(result);
            }
        }
        Err(StoreError::Contended { name: self.name.clone() })
    }
}
