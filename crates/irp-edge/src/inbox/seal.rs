//! The seal of what lies on the disk: AES-256-GCM with a key that outlives the process.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use secrecy::ExposeSecret as _;

use crate::certs::{
    Store,
    store::{BlobName, StoreError, When, Written},
};

/// Bytes of a key.
pub(super) const KEY_LEN: usize = 32;
/// The form of what is sealed; the first byte of it.
const VERSION: u8 = 1;
/// Under this name the key is kept.
const KEY_NAME: &str = "inbox-key";

/// Seals and opens records. Prints without its key.
pub struct Seal(LessSafeKey);

/// A record that was not sealed with this key, or was changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was not sealed with this key, or is damaged")]
pub struct Broken;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is kept under its name is none.
    #[error("what is kept as the key of the inbox has {0} bytes instead of 32")]
    Length(usize),
    /// The system has no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// Another process changes it all the time.
    #[error("another process keeps changing the key of the inbox")]
    Contended,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// With this key.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        #[expect(clippy::expect_used, reason = "the length is the algorithm's own")]
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// With the key that `store` keeps, made now if there is none.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub async fn of(store: &dyn Store) -> Result<Self, KeyError> {
        let Some(name) = BlobName::parse(KEY_NAME) else { return Err(KeyError::Contended) };
        // Of two processes that make one at once, the second reads that of the first.
        for _ in 0..2 {
            if let Some(blob) = store.get(&name).await? {
                let key: &[u8; KEY_LEN] =
                    blob.bytes().try_into().map_err(|_| KeyError::Length(blob.bytes().len()))?;
                return Ok(Self::new(key));
            }
            let mut key = secrecy::SecretBox::new(Box::new([0; KEY_LEN]));
            rand::fill(secrecy::ExposeSecretMut::expose_secret_mut(&mut key).as_mut_slice())
                .map_err(|_| KeyError::Randomness)?;
            if let Written::Done(_) = store.put(&name, key.expose_secret(), When::Absent).await? {
                return Ok(Self::new(key.expose_secret()));
            }
        }
        Err(KeyError::Contended)
    }

    /// Seals `plain`; `number` is the record's own, so that no record can stand in for another.
    ///
    /// # Errors
    ///
    /// When the system gives no randomness.
    pub fn seal(&self, number: u64, plain: Vec<u8>) -> Result<Vec<u8>, Broken> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| Broken)?;
        let mut sealed = plain;
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(number.to_be_bytes()),
                &mut sealed,
            )
            .map_err(|_| Broken)?;
        let mut whole = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        whole.push(VERSION);
        whole.extend_from_slice(&nonce);
        whole.append(&mut sealed);
        Ok(whole)
    }

    /// Opens what was sealed under `number`.
    ///
    /// # Errors
    ///
    /// When it was sealed otherwise.
    pub fn open(&self, number: u64, whole: &[u8]) -> Result<Vec<u8>, Broken> {
        let rest = whole.strip_prefix(&[VERSION]).ok_or(Broken)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Broken)?;
        let mut sealed = sealed.to_vec();
        let length = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(number.to_be_bytes()), &mut sealed)
            .map_err(|_| Broken)?
            .len();
        sealed.truncate(length);
        Ok(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::FileStore;

    #[test]
    fn what_was_changed_or_moved_does_not_open() {
        let seal = Seal::new(&[7; KEY_LEN]);
        let sealed = seal.seal(3, b"hush".to_vec()).unwrap();
        assert_eq!(seal.open(3, &sealed).unwrap(), b"hush");
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        assert_eq!(seal.open(4, &sealed), Err(Broken), "another number");
        assert_eq!(Seal::new(&[8; KEY_LEN]).open(3, &sealed), Err(Broken), "another key");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(3, &changed), Err(Broken), "byte {at}");
            assert_eq!(seal.open(3, &sealed[..at]), Err(Broken), "cut at {at}");
        }
        assert!(!format!("{seal:?}").contains('7'));
    }

    #[tokio::test]
    async fn the_key_stays_the_same() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        let sealed = Seal::of(&store).await.unwrap().seal(1, b"x".to_vec()).unwrap();
        assert_eq!(Seal::of(&store).await.unwrap().open(1, &sealed).unwrap(), b"x");
        let file = std::fs::metadata(folder.path().join(KEY_NAME)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
}
