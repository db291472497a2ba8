//! The order that is under way, as it lies in the store.

use serde::{Deserialize, Serialize};

use super::{
    super::{
        budget::AttemptId,
        store::{BlobName, Store, StoreError, When, Written},
    },
    OrderError, write,
};

/// An order that has been made and not yet been fetched.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) url: String,
    pub(super) key_pem: String,
    pub(super) attempt: AttemptId,
    /// The authority has been, or is about to be, asked to issue.
    pub(super) issuing: bool,
}

/// Its drawer, as this process knows it.
///
/// A process that stood still, such as one on a machine that was suspended, may wake up after another has taken the
/// lease and gone on. So nothing is written over what another has written here since this process looked.
pub(super) struct Drawer<'a> {
    store: &'a dyn Store,
    name: &'a BlobName,
    when: When,
}

impl<'a> Drawer<'a> {
    /// Looks into the drawer.
    pub(super) async fn open(
        store: &'a dyn Store,
        name: &'a BlobName,
    ) -> Result<(Self, Option<Pending>), StoreError> {
        let Some(blob) = store.get(name).await? else {
            return Ok((Self { store, name, when: When::Absent }, None));
        };
        let when = When::Unchanged(blob.version().clone());
        // One that cannot be read is of no use; the order is then made anew.
        Ok((Self { store, name, when }, serde_json::from_slice(blob.bytes()).ok()))
    }

    /// Puts the order in; [`OrderError::CalledOff`] when another process has been there.
    pub(super) async fn keep(&mut self, pending: &Pending) -> Result<(), OrderError> {
        match write(self.store, self.name, pending, self.when.clone()).await? {
            Written::Done(version) => {
                self.when = When::Unchanged(version);
                Ok(())
            }
            Written::Refused => Err(OrderError::CalledOff),
        }
    }

    /// Empties it. What another process has put in stays.
    pub(super) async fn forget(&mut self) -> Result<(), StoreError> {
        if let When::Unchanged(_) = &self.when
            && let Written::Done(_) = self.store.delete(self.name, self.when.clone()).await?
        {
            self.when = When::Absent;
        }
        Ok(())
    }
}
