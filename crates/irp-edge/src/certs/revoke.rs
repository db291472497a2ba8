//! Certificates in a store, seen from beside the keeper: how long one lasts, and revoking them (RFC 8555, section
//! 7.6) before their keys are deleted, since nobody is to trust what nobody wants any more.
//!
//! The account that ordered a certificate may revoke it, and is in the store beside it. One that has ended, or was revoked
//! before, is left as it is.

use std::time::SystemTime;

use instant_acme::{Problem, RevocationReason, RevocationRequest};
use rustls_pki_types::CertificateDer;
use secrecy::SecretString;

use super::{
    account::{self, AccountError},
    chain::Certificate,
    http::DirectoryClient,
    names::Names,
    order::Kept,
    store::{BlobName, Store, StoreError},
};

/// The type of the problem that an authority has with a certificate that is revoked already.
const ALREADY: &str = "urn:ietf:params:acme:error:alreadyRevoked";

/// What certificates are called in a store, before their directory and their names.
const CERTIFICATE: &str = "certificate-";

/// A certificate that is good for nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The names that it was for.
    pub names: Vec<String>,
    /// When it would have ended.
    pub not_after: SystemTime,
}

/// Revokes every certificate of the store that is good at `now`; they come back.
///
/// # Errors
///
/// With the first that cannot be revoked. Those before it are revoked, and nothing is deleted.
pub async fn revoke_all(
    store: &dyn Store,
    http: &DirectoryClient,
    now: SystemTime,
) -> Result<Vec<Revoked>, RevokeError> {
    let mut revoked = Vec::new();
    for (name, certificate) in good(store, now).await? {
        revoke(store, http, &name, certificate.leaf()).await?;
        let not_after = certificate.life().not_after;
        revoked.push(Revoked { names: certificate.names().to_vec(), not_after });
    }
    Ok(revoked)
}

/// The end of the certificate for exactly `names` that lasts longest, if the store has one that is good at `now`.
///
/// # Errors
///
/// When the store fails.
pub async fn kept_until(
    store: &dyn Store,
    names: &Names,
    now: SystemTime,
) -> Result<Option<SystemTime>, StoreError> {
    let mut until = None;
    for (_, certificate) in good(store, now).await? {
        if certificate.is_for(names) {
            until = until.max(Some(certificate.life().not_after));
        }
    }
    Ok(until)
}

/// All certificates of the store that are good at `now`, with their places.
async fn good(store: &dyn Store, now: SystemTime) -> Result<Vec<(BlobName, Certificate)>, StoreError> {
    let mut found = Vec::new();
    for name in store.list(CERTIFICATE).await? {
        let Some(blob) = store.get(&name).await? else { continue };
        // What cannot be read cannot be served either.
        let Ok(kept) = serde_json::from_slice::<Kept>(blob.bytes()) else { continue };
        let key = SecretString::from(kept.key_pem);
        if let Ok(certificate) = Certificate::parse(&kept.chain_pem, &key)
            && certificate.is_valid(now)
        {
            found.push((name, certificate));
        }
    }
    Ok(found)
}

async fn revoke(
    store: &dyn Store,
    http: &DirectoryClient,
    name: &BlobName,
    leaf: &CertificateDer<'_>,
) -> Result<(), RevokeError> {
    // `certificate-DIRECTORY-NAMES` was ordered by `account-DIRECTORY`.
    let directory = name.as_str().strip_prefix(CERTIFICATE).and_then(|rest| rest.split('-').next());
    let account = directory.and_then(|directory| BlobName::parse(&format!("account-{directory}")));
    let account = account.ok_or_else(|| RevokeError::NoAccount(name.clone()))?;
    let account = account::open(store, &account, http).await?;
    let account = account.ok_or_else(|| RevokeError::NoAccount(name.clone()))?;
    let reason = Some(RevocationReason::CessationOfOperation);
    match account.revoke(&RevocationRequest { certificate: leaf, reason }).await {
        Ok(()) => Ok(()),
        Err(instant_acme::Error::Api(Problem { r#type: Some(kind), .. })) if kind == ALREADY => Ok(()),
        Err(error) => Err(RevokeError::Refused(error)),
    }
}

/// Why a certificate is not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody knows who ordered it.
    #[error("the account that ordered {0} is not in the store")]
    NoAccount(BlobName),
    /// The account cannot be used.
    #[error("the account at the certificate authority cannot be used")]
    Account(#[from] AccountError),
    /// The authority did not do it.
    #[error("the certificate authority did not revoke the certificate")]
    Refused(#[source] instant_acme::Error),
}
