//! Where certificates, keys and what was tried are kept between runs: the port, and its contract.
//!
//! # Contract
//!
//! A store maps [`BlobName`]s to small byte strings (at most [`MAX_BLOB`]), each with a [`Version`].
//!
//! - A `get` sees every write that was acknowledged before it began, whichever process made it.
//! - A write is whole or absent: nobody ever reads half of it, even after a crash in the midst of it.
//! - `put` and `delete` check their condition and act in one step: of two that race under the same condition
//!   exactly one is done, the other is refused. A refusal is an answer, not an error.
//! - Two different contents never have the same version under one name.
//! - Every blob is a secret: a store keeps it from other users, and encrypts it where it leaves the machine.
//! - A call ends within the store's own timeout; an error means that the write may or may not have happened.
//!
//! Stores whose backend limits the size of a value (4 KiB in Parameter Store) split blobs themselves.

use std::fmt;

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretSlice};

/// The largest blob that a store has to take: a hundred names, a long chain and a key stay far below.
pub const MAX_BLOB: usize = 256 * 1024;

/// Small named secrets that survive the process; see the module for what an implementation has to promise.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads a blob; `None` when there is none of this name.
    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Option<Blob>, StoreError>>;

    /// Writes a blob if `when` holds.
    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        bytes: &'a [u8],
        when: When,
    ) -> BoxFuture<'a, Result<Written, StoreError>>;

    /// Removes a blob if `when` holds. [`Written::Refused`] also when there is none and `when` names a version.
    fn delete<'a>(&'a self, name: &'a BlobName, when: When) -> BoxFuture<'a, Result<Written, StoreError>>;

    /// The names that begin with `prefix`, sorted.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<BlobName>, StoreError>>;
}

/// Under which condition a blob is written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// In any case.
    Always,
    /// Only if there is no blob of this name.
    Absent,
    /// Only if the blob is still the one that was read.
    Unchanged(Version),
}

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It was done; this is the version now. A deletion has an empty one.
    Done(Version),
    /// The condition did not hold; nothing was changed.
    Refused,
}

/// Names one content of one blob; to be compared, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// A blob as it was read.
#[derive(Debug)]
pub struct Blob {
    bytes: SecretSlice<u8>,
    version: Version,
}

impl Blob {
    /// For implementations of [`Store`].
    #[must_use]
    pub fn new(bytes: Vec<u8>, version: Version) -> Self {
        Self { bytes: bytes.into(), version }
    }

    /// The content: a secret.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.expose_secret()
    }

    /// For [`When::Unchanged`].
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }
}

/// The name of a blob: 1 to 128 of `a–z`, `0–9`, `-` and `.`, beginning with a letter. So it is a safe file
/// name, S3 key and parameter name alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName(String);

impl BlobName {
    /// Takes a name if it is well formed.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let good = name.len() <= 128
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
        good.then(|| Self(name.to_owned()))
    }

    /// A name made of a word of ours and hexadecimal digits, which is well formed by construction.
    pub(crate) fn of(kind: &'static str, digests: &[&str]) -> Self {
        let mut name = kind.to_owned();
        for digest in digests {
            name.push('-');
            name.push_str(digest);
        }
        debug_assert!(Self::parse(&name).is_some(), "{name} is not a blob name");
        Self(name)
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The cause that a store's backend gives.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A store that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading failed.
    #[error("the certificate store cannot read {name}")]
    Get {
        /// What was to be read.
        name: BlobName,
        /// Why.
        source: Cause,
    },
    /// Writing failed.
    #[error("the certificate store cannot write {name}")]
    Put {
        /// What was to be written.
        name: BlobName,
        /// Why.
        source: Cause,
    },
    /// Removing failed.
    #[error("the certificate store cannot delete {name}")]
    Delete {
        /// What was to be removed.
        name: BlobName,
        /// Why.
        source: Cause,
    },
    /// Listing failed.
    #[error("the certificate store cannot be listed")]
    List {
        /// Why.
        source: Cause,
    },
    /// What is in the store is not what this version of irp writes.
    #[error("{name} in the certificate store is damaged")]
    Damaged {
        /// Which blob.
        name: BlobName,
        /// Why.
        source: Cause,
    },
    /// Others kept changing the blob; given up after many tries.
    #[error("{name} in the certificate store is changed by others all the time")]
    Contended {
        /// Which blob.
        name: BlobName,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_name_cannot_leave_its_folder() {
        assert!(BlobName::parse("certificate-0a1b").is_some());
        for bad in ["", ".hidden", "-x", "a/b", "../a", "A", "a b", "a\0", &"a".repeat(129)] {
            assert!(BlobName::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_blob_does_not_show_its_secret() {
        let blob = Blob::new(b"hush".to_vec(), Version("1".into()));
        let shown = format!("{blob:?}");
        assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
    }
}
