//! A certificate with its chain and its private key, checked and ready to be served.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest;
use rustls::{crypto::aws_lc_rs as crypto, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::{names::Names, renew::Life};

/// A certificate that can be served: the key fits, and its dates and names are known.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    life: Life,
    spread: f64,
}

impl Certificate {
    /// Reads a chain (PEM, the certificate itself first) and its private key (PEM, PKCS#8).
    ///
    /// # Errors
    ///
    /// When either cannot be read, or the key is another certificate's.
    pub fn parse(chain_pem: &str, key_pem: &SecretString) -> Result<Self, ChainError> {
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(ChainError::Pem)?;
        let key =
            PrivateKeyDer::from_pem_slice(key_pem.expose_secret().as_bytes()).map_err(|_| ChainError::Key)?;
        Self::from_der(chain, key)
    }

    /// Takes a chain, the certificate itself first, and its private key.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, ChainError> {
        let leaf = chain.first().ok_or(ChainError::Empty)?;
        let (_, parsed) =
            parse_x509_certificate(leaf).map_err(|error| ChainError::X509(error.to_string()))?;
        let life = Life {
            not_before: from_unix(parsed.validity().not_before.timestamp()),
            not_after: from_unix(parsed.validity().not_after.timestamp()),
        };
        let names = parsed
            .subject_alternative_name()
            .map_err(|error| ChainError::X509(error.to_string()))?
            .map(|names| {
                let dns = names.value.general_names.iter().filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                    _ => None,
                });
                dns.collect()
            })
            .unwrap_or_default();
        let spread = spread(leaf);
        let key = CertifiedKey::from_der(chain, key, &crypto::default_provider()).map_err(ChainError::Tls)?;
        Ok(Self { key: Arc::new(key), names, life, spread })
    }

    /// For rustls.
    #[must_use]
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The DNS names in it, in lower case.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// From when to when it is valid.
    #[must_use]
    pub fn life(&self) -> Life {
        self.life
    }

    /// Its place between 0 and 1 in the jitter of renewals; see [`renew`](super::renew).
    #[must_use]
    pub fn spread(&self) -> f64 {
        self.spread
    }

    /// The certificate itself.
    ///
    /// # Panics
    ///
    /// Never: a chain is not empty.
    #[must_use]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.key.cert[0]
    }

    /// Whether it is for exactly `names`.
    #[must_use]
    pub fn is_for(&self, names: &Names) -> bool {
        Names::new(&self.names).is_ok_and(|own| own == *names)
    }

    /// Whether it can be served at `now`.
    #[must_use]
    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.life.not_before <= now && now < self.life.not_after
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// A chain and key that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The chain is not PEM.
    #[error("the certificate chain is not PEM")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// There is no certificate in it.
    #[error("the certificate chain is empty")]
    Empty,
    /// The key is not a private key in PEM. The cause is left out, since it could quote the key.
    #[error("the certificate's private key cannot be read")]
    Key,
    /// The certificate is malformed.
    #[error("the certificate cannot be read: {0}")]
    X509(String),
    /// The key does not fit the certificate, or is of a kind that is not supported.
    #[error("the certificate cannot be used with its key")]
    Tls(#[source] rustls::Error),
}

fn from_unix(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Digests are evenly spread, so 32 bits of one are as good as a random number.
fn spread(leaf: &CertificateDer<'_>) -> f64 {
    let digest = digest::digest(&digest::SHA256, leaf);
    let head = digest.as_ref().iter().take(4).fold(0u32, |head, byte| head << 8 | u32::from(*byte));
    f64::from(head) / (f64::from(u32::MAX) + 1.0)
}
