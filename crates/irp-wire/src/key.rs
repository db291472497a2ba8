//! Keys: SSH ed25519 keys for people, an ed25519 identity for each edge.

use std::{fmt, future::Future, pin::Pin, str::FromStr};

use aws_lc_rs::{
    digest, rand,
    signature::{self, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The name of the only key type, in SSH's words (RFC 8709).
pub const KEY_TYPE: &str = "ssh-ed25519";

/// An ed25519 public key. Its text is OpenSSH's: `ssh-ed25519 AAAA…`, a comment is ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// Why a text is no usable public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An SSH key of another type.
    #[error(
        "it is a key of type {0}; irp takes ssh-ed25519 only: make one with `irp keygen`, or `ssh-keygen -t ed25519`"
    )]
    Type(String),
    /// Not the text of an SSH public key at all.
    #[error("it does not read as an SSH public key (`ssh-ed25519 AAAA…`)")]
    Format,
    /// The bytes of a private key are no ed25519 seed.
    #[error("the private key is damaged")]
    Private,
}

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of RFC 8032.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key in SSH's wire format (RFC 8709, section 4), as an agent names it.
    #[must_use]
    pub fn to_ssh_blob(&self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(51);
        put_string(&mut blob, KEY_TYPE.as_bytes());
        put_string(&mut blob, &self.0);
        blob
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.to_ssh_blob());
        format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(hash))
    }

    /// Whether `signature` is this key's over `message` (RFC 8032, pure ed25519).
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&signature::ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut words = text.split_ascii_whitespace();
        let kind = words.next().ok_or(KeyError::Format)?;
        let blob = words.next().ok_or(KeyError::Format)?;
        if kind != KEY_TYPE {
            let known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-");
            return Err(if known {
                KeyError::Type(kind.chars().take(64).collect())
            } else {
                KeyError::Format
            });
        }
        let blob = BASE64_STANDARD.decode(blob).map_err(|_| KeyError::Format)?;
        let key: [u8; 32] = blob.get(19..).and_then(|key| key.try_into().ok()).ok_or(KeyError::Format)?;
        let key = Self(key);
        if key.to_ssh_blob() == blob { Ok(key) } else { Err(KeyError::Format) }
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_TYPE} {}", BASE64_STANDARD.encode(self.to_ssh_blob()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

/// An ed25519 private key held in memory; it prints as its public fingerprint.
pub struct SecretKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl SecretKey {
    /// Makes a new key from the system's randomness.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        rand::fill(seed.as_mut_slice()).map_err(|_| KeyError::Private)?;
        Self::from_seed(&seed)
    }

    /// Takes the 32-byte seed of RFC 8032, section 5.1.5.
    ///
    /// # Errors
    ///
    /// When the library refuses the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Private)?;
        Ok(Self { seed: Zeroizing::new(*seed), pair })
    }

    /// The seed, for keeping; whoever holds it is this key.
    #[must_use]
    pub fn seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.seed
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(key)
    }

    /// Signs `message` (RFC 8032, pure ed25519): 64 bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public_key().fingerprint())
    }
}

/// Something that signs for a person's key: the key itself, or an agent that holds it.
pub trait Signer: Send + Sync + fmt::Debug {
    /// The public half of the key that signs.
    fn public_key(&self) -> PublicKey;

    /// Signs `message`: 64 bytes of RFC 8032.
    ///
    /// # Errors
    ///
    /// When the agent is gone or refuses, with a sentence for the person.
    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a>;
}

/// A signature on its way.
pub type Signing<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, SignError>> + Send + 'a>>;

/// Why a signer did not sign, as a sentence for the person.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SignError(pub String);

impl Signer for SecretKey {
    fn public_key(&self) -> PublicKey {
        self.public_key()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        Box::pin(std::future::ready(Ok(self.sign(message))))
    }
}

/// Appends `bytes` as an SSH string: length in four bytes, then the bytes (RFC 4251, section 5).
pub(crate) fn put_string(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8cU9WHIxFEGvIhVyFDuYtEKKyNi4BGRWXDZZ2kTmIe";

    #[test]
    fn a_public_key_reads_and_prints_as_openssh_writes_it() {
        let key: PublicKey = format!("{LINE} alice@laptop").parse().unwrap();
        assert_eq!(key.to_string(), LINE);
        assert!(key.fingerprint().starts_with("SHA256:"));
    }

    #[test]
    fn other_key_types_are_refused_by_name() {
        let error = "ssh-rsa AAAAB3NzaC1yc2E= x".parse::<PublicKey>().unwrap_err();
        assert_eq!(error, KeyError::Type("ssh-rsa".into()));
        assert!(error.to_string().contains("irp keygen"));
        for text in ["", "ssh-ed25519", "ssh-ed25519 !!!!", "ssh-ed25519 AAAA", "hello world"] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyError::Format), "{text}");
        }
    }

    #[test]
    fn a_signature_verifies_with_its_key_only() {
        let key = SecretKey::generate().unwrap();
        let other = SecretKey::generate().unwrap();
        let signature = key.sign(b"message");
        assert!(key.public_key().verifies(b"message", &signature));
        assert!(!key.public_key().verifies(b"massage", &signature));
        assert!(!other.public_key().verifies(b"message", &signature));
        let again = SecretKey::from_seed(key.seed()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
    }

    #[test]
    fn a_private_key_does_not_print() {
        let key = SecretKey::from_seed(&[7; 32]).unwrap();
        assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.public_key().fingerprint()));
    }
}
