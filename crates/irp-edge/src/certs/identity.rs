//! The edge's identity: the ed25519 key that proves to clients that this is the edge they know.
//!
//! It is made once and lives beside the certificate in the same store, so that a machine which is launched anew
//! every day is the same edge to its clients, who pin it.

use std::fmt;

use aws_lc_rs::{
    rand,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Deserialize, Serialize};

use super::store::{BlobName, Store, StoreError, When, Written};

/// Where it is kept.
const NAME: &str = "identity";

/// An ed25519 key pair.
pub struct Identity {
    seed: SecretBox<[u8; 32]>,
    public: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    ed25519_seed: String,
}

impl Identity {
    /// Reads the key from `store`, and makes it if there is none. Of several that make it at once, all end up
    /// with the same one.
    ///
    /// # Errors
    ///
    /// When the store fails or what it holds is damaged; a damaged key is never replaced silently, since clients
    /// would see a stranger.
    pub async fn open_or_create(store: &dyn Store) -> Result<Self, IdentityError> {
        let name = BlobName::of(NAME, &[]);
        if let Some(blob) = store.get(&name).await? {
            return parse(blob.bytes());
        }
        let mut seed = SecretBox::new(Box::new([0; 32]));
        rand::fill(secrecy::ExposeSecretMut::expose_secret_mut(&mut seed))
            .map_err(|_| IdentityError::Random)?;
        let record = Record { ed25519_seed: BASE64_STANDARD.encode(seed.expose_secret()) };
        let bytes = serde_json::to_vec(&record).map_err(|_| IdentityError::Damaged)?;
        match store.put(&name, &bytes, When::Absent).await? {
            Written::Done(_) => Self::from_seed(seed),
            Written::Refused => {
                let blob = store.get(&name).await?.ok_or(StoreError::Contended { name })?;
                parse(blob.bytes())
            }
        }
    }

    /// The identity with this seed (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    ///
    /// When the crypto library refuses it.
    pub fn from_seed(seed: SecretBox<[u8; 32]>) -> Result<Self, IdentityError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.expose_secret()).map_err(|_| IdentityError::Damaged)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| IdentityError::Damaged)?;
        Ok(Self { seed, public })
    }

    /// The 32 bytes of the private key.
    #[must_use]
    pub fn seed(&self) -> &SecretBox<[u8; 32]> {
        &self.seed
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("public", &BASE64_STANDARD.encode(self.public))
            .finish_non_exhaustive()
    }
}

fn parse(bytes: &[u8]) -> Result<Identity, IdentityError> {
    let record: Record = serde_json::from_slice(bytes).map_err(|_| IdentityError::Damaged)?;
    let seed = BASE64_STANDARD.decode(record.ed25519_seed).map_err(|_| IdentityError::Damaged)?;
    let seed: [u8; 32] = seed.try_into().map_err(|_| IdentityError::Damaged)?;
    Identity::from_seed(SecretBox::new(Box::new(seed)))
}

/// The edge's key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The store failed.
    #[error("the edge's identity key cannot be kept")]
    Store(#[from] StoreError),
    /// What the store holds is not a key.
    #[error(
        "the edge's identity key in the store is damaged; if you delete it, every client must pin a new one"
    )]
    Damaged,
    /// The machine has no random numbers.
    #[error("no random numbers for the edge's identity key")]
    Random,
}
