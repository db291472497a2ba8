//! What is to be certified, by whom, and how it is proven.

use super::{names::Names, solve::Challenge};

/// The directory of Let's Encrypt, whose certificates everybody trusts.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The directory of Let's Encrypt for trials: generous limits, certificates that nobody trusts.
pub const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// One certificate to be had from one certificate authority that speaks ACME (RFC 8555).
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// The directory of the authority, an `https` URL. Certificates, accounts and attempts of different
    /// directories are kept apart, so a trial with staging uses up nothing of production.
    pub directory_url: String,
    /// An e-mail address that the authority may write to; used when the account is made.
    pub contact: Option<String>,
    /// PEM certificates of authorities that are trusted, beside the machine's own, when the directory is called:
    /// for private authorities.
    pub extra_roots_pem: Option<String>,
    /// How control of the names is proven.
    pub challenge: Challenge,
    /// For which names the certificate is.
    pub names: Names,
}
