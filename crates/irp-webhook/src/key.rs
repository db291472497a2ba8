//! Secrets: how they are written, and ready for use. They do not print.

use std::fmt;

use aws_lc_rs::{
    constant_time, digest, hmac,
    signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use crate::{encoding::unhex, row::Algorithm};

/// What a public key of P-256 begins with as SubjectPublicKeyInfo (RFC 5480); the point comes after it.
const P256_INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A secret as the provider shows it. For providers that sign with a private key it is their public key, for AWS
/// SNS the topic. Prints as dots.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text as the provider shows it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, to be sent on or shown to nobody.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret is of no use; says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// There is a blank or a line feed around it.
    #[error("it begins or ends with a blank")]
    Blank,
    /// It does not decode.
    #[error("it is no {0}")]
    Form(&'static str),
    /// It is no public key of this kind.
    #[error("it is no public key of the kind that this provider has")]
    PublicKey,
    /// It is no ARN of a topic.
    #[error("it is no ARN of a topic (arn:aws:sns:REGION:ACCOUNT:NAME)")]
    Topic,
}

/// How a secret is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyForm {
    Utf8,
    Hex,
    Base64 { prefix: String },
}

impl KeyForm {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "utf8" => Self::Utf8,
            "hex" => Self::Hex,
            "base64" => Self::Base64 { prefix: String::new() },
            _ => Self::Base64 { prefix: text.strip_prefix("base64:")?.to_owned() },
        })
    }

    fn decode(&self, text: &str) -> Result<Vec<u8>, KeyError> {
        let bytes = match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Hex => unhex(text).ok_or(KeyError::Form("hex"))?,
            Self::Base64 { prefix } => {
                let text = text.strip_prefix(prefix.as_str()).unwrap_or(text);
                BASE64_STANDARD.decode(text).map_err(|_| KeyError::Form("base64"))?
            }
        };
        if bytes.is_empty() { Err(KeyError::Empty) } else { Ok(bytes) }
    }
}

/// A secret ready for use.
#[derive(Clone)]
pub(crate) enum Key {
    Hmac(Box<hmac::Key>),
    /// Compared, or hashed with the text.
    Bytes(SecretSlice<u8>),
    Ed25519([u8; 32]),
    /// An uncompressed point.
    P256(Vec<u8>),
    Topic(String),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    pub(crate) fn new(algorithm: Algorithm, form: &KeyForm, secret: &Secret) -> Result<Self, KeyError> {
        let text = secret.expose();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.trim() != text {
            return Err(KeyError::Blank);
        }
        let bytes = form.decode(text)?;
        Ok(match algorithm {
            Algorithm::HmacSha256 => Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &bytes).into()),
            Algorithm::HmacSha1 => {
                Self::Hmac(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes).into())
            }
            Algorithm::Sha256 | Algorithm::Token => Self::Bytes(bytes.into()),
            Algorithm::Ed25519 => {
                let key: [u8; 32] = bytes.try_into().map_err(|_| KeyError::PublicKey)?;
                UnparsedPublicKey::new(&ED25519, key).parse().map_err(|_| KeyError::PublicKey)?;
                Self::Ed25519(key)
            }
            Algorithm::EcdsaP256 => {
                let point = bytes.strip_prefix(&P256_INFO).ok_or(KeyError::PublicKey)?.to_vec();
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point);
                key.parse().map_err(|_| KeyError::PublicKey)?;
                Self::P256(point)
            }
            Algorithm::Sns => {
                let is_topic =
                    text.starts_with("arn:aws") && text.split(':').count() == 6 && text.contains(":sns:");
                if !is_topic {
                    return Err(KeyError::Topic);
                }
                Self::Topic(text.to_owned())
            }
        })
    }

    /// The secret's own bytes, where they are part of the text.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.expose_secret(),
            _ => b"",
        }
    }

    /// What makes the signature of `text`, where this key makes signatures at all: a MAC, a hash, the token.
    pub(crate) fn sign<'t>(&self, algorithm: Algorithm, text: &[impl AsRef<[u8]> + 't]) -> Option<Vec<u8>> {
        match (self, algorithm) {
            (Self::Hmac(key), _) => {
                let mut context = hmac::Context::with_key(key);
                text.iter().for_each(|piece| context.update(piece.as_ref()));
                Some(context.sign().as_ref().to_vec())
            }
            (Self::Bytes(_), Algorithm::Sha256) => {
                let mut context = digest::Context::new(&digest::SHA256);
                text.iter().for_each(|piece| context.update(piece.as_ref()));
                Some(context.finish().as_ref().to_vec())
            }
            (Self::Bytes(bytes), Algorithm::Token) => Some(bytes.expose_secret().to_vec()),
            _ => None,
        }
    }

    /// Whether `signature` is one of `text` by the owner of this public key.
    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(text, signature).is_ok(),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(text, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// Compares without telling by the time it takes where the difference is. Hashed first, so that a token's length
/// does not tell itself either.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    let hash = |bytes| digest::digest(&digest::SHA256, bytes);
    same_mac(hash(one).as_ref(), hash(other).as_ref())
}

/// The same for what has a length that everybody knows.
pub(crate) fn same_mac(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(algorithm: Algorithm, form: &str, text: &str) -> Option<KeyError> {
        Key::new(algorithm, &KeyForm::parse(form).unwrap(), &Secret::new(text)).err()
    }

    #[test]
    fn secrets_that_are_none_are_refused_without_telling_them() {
        assert_eq!(error(Algorithm::HmacSha256, "utf8", "x"), None);
        assert_eq!(error(Algorithm::HmacSha256, "utf8", ""), Some(KeyError::Empty));
        assert_eq!(error(Algorithm::HmacSha256, "utf8", "x\n"), Some(KeyError::Blank));
        assert_eq!(error(Algorithm::HmacSha256, "base64:whsec_", "whsec_AAAA"), None);
        assert_eq!(error(Algorithm::HmacSha256, "base64:whsec_", "AAAA"), None);
        assert_eq!(error(Algorithm::HmacSha256, "base64:whsec_", "whsec_"), Some(KeyError::Empty));
        assert_eq!(error(Algorithm::HmacSha256, "base64:whsec_", "whsec_-"), Some(KeyError::Form("base64")));
        assert_eq!(error(Algorithm::Ed25519, "hex", "00ff"), Some(KeyError::PublicKey));
        assert_eq!(error(Algorithm::EcdsaP256, "base64", "AAAA"), Some(KeyError::PublicKey));
        assert_eq!(error(Algorithm::Sns, "utf8", "arn:aws:sns:us-east-1:123456789012:t"), None);
        assert_eq!(error(Algorithm::Sns, "utf8", "t"), Some(KeyError::Topic));
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("hush-hush");
        let key = Key::new(Algorithm::Token, &KeyForm::Utf8, &secret).unwrap();
        let hmac = Key::new(Algorithm::HmacSha256, &KeyForm::Utf8, &secret).unwrap();
        assert!(!format!("{secret:?} {key:?} {hmac:?}").contains("hush"));
    }
}
