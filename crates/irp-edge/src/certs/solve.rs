//! How control of a name is proven to the authority: RFC 8555, section 8, and RFC 8737.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use instant_acme::{ChallengeType, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{crypto::aws_lc_rs as crypto, sign::CertifiedKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::resolver::Certificates;

/// The way to prove control, with what it needs.
#[derive(Debug, Clone)]
pub enum Challenge {
    /// A TXT record: needs neither an address nor an open port, and is the only way to a wildcard.
    Dns01(Arc<dyn Dns>),
    /// A certificate on the listener of port 443.
    TlsAlpn01(Arc<Certificates>),
    /// A file on the listener of port 80.
    Http01(Arc<HttpTokens>),
}

/// What a DNS zone can do: the port behind dns-01.
///
/// Names have no final dot. A name may carry several values at once (a wildcard and its base, two edges of one
/// name), so setting one keeps the others. Both calls may be repeated with the same effect.
pub trait Dns: fmt::Debug + Send + Sync + 'static {
    /// Adds a TXT record with this value.
    fn set_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>>;

    /// Removes the TXT record with this value; none is there, good.
    fn clear_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>>;

    /// Resolves once the authority will see the record wherever it asks. The caller sets the limit of time.
    fn wait_visible<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>>;
}

/// A zone that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{action} the TXT record {name} failed")]
pub struct DnsError {
    /// What was to be done, as a word that ends in "ing".
    pub action: &'static str,
    /// With which record.
    pub name: String,
    /// Why it failed.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The files that a listener on port 80 shows to a validating authority.
#[derive(Debug, Default)]
pub struct HttpTokens {
    by_token: Mutex<HashMap<String, String>>,
}

/// Where those files are (RFC 8555, section 8.3).
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

impl HttpTokens {
    /// No files yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The body of the answer to a GET of `path`, to be sent as `application/octet-stream`; `None` when the path
    /// is not that of a challenge under way.
    #[must_use]
    pub fn answer(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(WELL_KNOWN)?;
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn insert(&self, token: &str, answer: &str) {
        let mut by_token = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        by_token.insert(token.to_owned(), answer.to_owned());
    }

    fn remove(&self, token: &str) {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }
}

impl Challenge {
    /// What RFC 8555 calls it.
    #[must_use]
    pub fn kind(&self) -> ChallengeType {
        match self {
            Self::Dns01(_) => ChallengeType::Dns01,
            Self::TlsAlpn01(_) => ChallengeType::TlsAlpn01,
            Self::Http01(_) => ChallengeType::Http01,
        }
    }

    /// What [`kind`](Self::kind) is called on the wire.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Dns01(_) => "dns-01",
            Self::TlsAlpn01(_) => "tls-alpn-01",
            Self::Http01(_) => "http-01",
        }
    }

    /// Puts up the proof for `name`. What comes back takes it down, on drop as far as that needs no network.
    pub(super) async fn present(
        &self,
        name: &str,
        token: &str,
        key: &KeyAuthorization,
    ) -> Result<Proof, SolveError> {
        match self {
            Self::Dns01(dns) => {
                let record = format!("_acme-challenge.{}", name.trim_start_matches("*."));
                let proof = Proof::Txt { dns: Arc::clone(dns), record, value: key.dns_value() };
                // The proof exists before the record does: a call that fails may still have set it.
                match proof.set().await {
                    Ok(()) => Ok(proof),
                    Err(error) => Err(SolveError::Dns(error, proof)),
                }
            }
            Self::TlsAlpn01(certificates) => {
                let certificate = validation_certificate(name, key).map_err(SolveError::Certificate)?;
                certificates.begin_challenge(name, &certificate);
                Ok(Proof::Tls { certificates: Arc::clone(certificates), name: name.to_owned() })
            }
            Self::Http01(tokens) => {
                tokens.insert(token, key.as_str());
                Ok(Proof::Http { tokens: Arc::clone(tokens), token: token.to_owned() })
            }
        }
    }
}

/// A proof that is up.
#[derive(Debug)]
pub(super) enum Proof {
    Txt { dns: Arc<dyn Dns>, record: String, value: String },
    Tls { certificates: Arc<Certificates>, name: String },
    Http { tokens: Arc<HttpTokens>, token: String },
}

impl Proof {
    async fn set(&self) -> Result<(), DnsError> {
        match self {
            Self::Txt { dns, record, value } => dns.set_txt(record, value).await,
            Self::Tls { .. } | Self::Http { .. } => Ok(()),
        }
    }

    /// Waits until the authority can see it.
    pub(super) async fn wait_visible(&self) -> Result<(), DnsError> {
        match self {
            Self::Txt { dns, record, value } => dns.wait_visible(record, value).await,
            Self::Tls { .. } | Self::Http { .. } => Ok(()),
        }
    }

    /// Takes down what needs the network for it; the rest goes on drop.
    pub(super) async fn take_down(&self) -> Result<(), DnsError> {
        match self {
            Self::Txt { dns, record, value } => dns.clear_txt(record, value).await,
            Self::Tls { .. } | Self::Http { .. } => Ok(()),
        }
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        match self {
            Self::Txt { .. } => {}
            Self::Tls { certificates, name } => certificates.end_challenge(name),
            Self::Http { tokens, token } => tokens.remove(token),
        }
    }
}

/// A proof could not be put up.
#[derive(Debug)]
pub(super) enum SolveError {
    /// The zone failed; the record may be there all the same.
    Dns(DnsError, Proof),
    /// No certificate for tls-alpn-01.
    Certificate(Box<dyn std::error::Error + Send + Sync>),
}

/// RFC 8737, section 3: self-signed, for exactly this name, with the digest in a critical extension.
fn validation_certificate(
    name: &str,
    key: &KeyAuthorization,
) -> Result<Arc<CertifiedKey>, Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(key.digest().as_ref())];
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&pair)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let chain = vec![certificate.der().clone()];
    // Not `from_der`: it reads the certificate, and knows no critical extension of this kind.
    let key = crypto::default_provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}
