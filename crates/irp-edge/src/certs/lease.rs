//! A lease: the right of one process among those that share a store to do something for a while.
//!
//! It is a blob that names its owner and its end. It can be taken when there is none, when it has ended, or when
//! it is one's own. A holder extends it while it works; one that was killed is succeeded at its end. The clocks
//! of machines that share a store must agree to within seconds (every cloud image sees to that); where they do
//! not, two may order at once, and the [`budget`](super::budget) still keeps both within the limits.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{
    clock::unix,
    store::{BlobName, Store, StoreError, Version, When, Written},
};

/// How long a lease lasts unless it is extended: the longest time that others wait for a killed holder.
pub const LASTS: Duration = Duration::from_secs(45);

/// How often a holder extends its lease: one extension may fail. With the second one its work ends, well before
/// others may begin theirs.
pub const EXTENDED_EVERY: Duration = Duration::from_secs(15);

/// An end further away than this was not written by a sane clock, and does not count.
const LONGEST: Duration = Duration::from_secs(600);

/// A lease that this process holds.
#[derive(Debug)]
pub struct Lease {
    name: BlobName,
    owner: String,
    ends: SystemTime,
    version: Version,
}

/// Whether the lease could be had.
#[derive(Debug)]
pub enum Acquired {
    /// It is ours until [`LASTS`] from now.
    Held(Lease),
    /// Another holds it, until then at least.
    Busy {
        /// When to ask again at the latest.
        until: SystemTime,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    owner: String,
    #[serde(with = "unix")]
    ends: SystemTime,
}

/// Takes the lease `name` for `owner`, a name that no other process has.
///
/// # Errors
///
/// When the store fails.
pub async fn acquire(
    store: &dyn Store,
    name: &BlobName,
    owner: &str,
    now: SystemTime,
) -> Result<Acquired, StoreError> {
    let when = match store.get(name).await? {
        None => When::Absent,
        Some(blob) => {
            // One that cannot be read binds nobody.
            if let Ok(record) = serde_json::from_slice::<Record>(blob.bytes())
                && record.owner != owner
                && record.ends > now
                && record.ends <= now + LONGEST
            {
                return Ok(Acquired::Busy { until: record.ends });
            }
            When::Unchanged(blob.version().clone())
        }
    };
    let ends = now + LASTS;
    Ok(match write(store, name, owner, ends, when).await? {
        Written::Done(version) => {
            Acquired::Held(Lease { name: name.clone(), owner: owner.to_owned(), ends, version })
        }
        Written::Refused => Acquired::Busy { until: now + EXTENDED_EVERY },
    })
}

impl Lease {
    /// When others may take it, unless it is extended before.
    #[must_use]
    pub fn ends(&self) -> SystemTime {
        self.ends
    }

    /// When it is to be extended: [`EXTENDED_EVERY`] after it was last written.
    #[must_use]
    pub fn due(&self) -> SystemTime {
        self.ends - (LASTS - EXTENDED_EVERY)
    }

    /// Makes the lease last until [`LASTS`] from now; `false` when another has taken it meanwhile.
    ///
    /// # Errors
    ///
    /// When the store fails; the lease may be held or not.
    pub async fn extend(&mut self, store: &dyn Store, now: SystemTime) -> Result<bool, StoreError> {
        let (ends, when) = (now + LASTS, When::Unchanged(self.version.clone()));
        match write(store, &self.name, &self.owner, ends, when).await? {
            Written::Done(version) => {
                (self.ends, self.version) = (ends, version);
                Ok(true)
            }
            Written::Refused => Ok(false),
        }
    }

    /// Gives the lease back, so that others need not wait for its end.
    ///
    /// # Errors
    ///
    /// When the store fails; the lease then ends by itself.
    pub async fn release(self, store: &dyn Store) -> Result<(), StoreError> {
        // Refused means that another has it already.
        store.delete(&self.name, When::Unchanged(self.version)).await.map(|_| ())
    }
}

async fn write(
    store: &dyn Store,
    name: &BlobName,
    owner: &str,
    ends: SystemTime,
    when: When,
) -> Result<Written, StoreError> {
    let record = Record { owner: owner.to_owned(), ends };
    let bytes = serde_json::to_vec(&record)
        .map_err(|error| StoreError::Put { name: name.clone(), source: error.into() })?;
    store.put(name, &bytes, when).await
}
