//! The account at the certificate authority: made once, kept in the store, used by all processes that share it.

use instant_acme::{Account, AccountCredentials, NewAccount};

use super::{
    config::AcmeConfig,
    http::DirectoryClient,
    store::{BlobName, Store, StoreError, When, Written},
};

/// Opens the account that is in the store; `None` when there is none yet.
///
/// # Errors
///
/// When the store fails, or the directory cannot be read.
pub async fn open(
    store: &dyn Store,
    name: &BlobName,
    http: &DirectoryClient,
) -> Result<Option<Account>, AccountError> {
    let Some(blob) = store.get(name).await? else { return Ok(None) };
    // The cause is left out: it could quote the key.
    let credentials: AccountCredentials = serde_json::from_slice(blob.bytes()).map_err(|_| damaged(name))?;
    let builder = Account::builder_with_http(Box::new(http.clone()));
    builder.from_credentials(credentials).await.map(Some).map_err(AccountError::Directory)
}

/// Opens the account that is in the store, and makes one if there is none. The terms of service of the authority
/// are agreed to.
///
/// # Errors
///
/// When the store fails, the directory cannot be read, or the authority refuses the account.
pub async fn open_or_create(
    store: &dyn Store,
    name: &BlobName,
    config: &AcmeConfig,
    http: &DirectoryClient,
) -> Result<Account, AccountError> {
    if let Some(account) = open(store, name, http).await? {
        return Ok(account);
    }
    let contact = config.contact.as_ref().map(|address| format!("mailto:{address}"));
    let contact = contact.as_deref();
    let new = NewAccount {
        contact: contact.as_slice(),
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let builder = Account::builder_with_http(Box::new(http.clone()));
    let made = builder.create(&new, config.directory_url.clone(), None).await;
    let (account, credentials) = made.map_err(AccountError::Refused)?;
    let bytes = serde_json::to_vec(&credentials).map_err(|_| damaged(name))?;
    match store.put(name, &bytes, When::Absent).await? {
        Written::Done(_) => Ok(account),
        // Another process was faster: its account is everybody's.
        Written::Refused => {
            open(store, name, http).await?.ok_or_else(|| StoreError::Contended { name: name.clone() }.into())
        }
    }
}

/// There is no account to order with.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The store failed.
    #[error("the ACME account cannot be kept")]
    Store(#[from] StoreError),
    /// The directory of the authority cannot be read.
    #[error("the ACME directory cannot be read")]
    Directory(#[source] instant_acme::Error),
    /// The authority made no account.
    #[error("the certificate authority refuses to make an account")]
    Refused(#[source] instant_acme::Error),
}

fn damaged(name: &BlobName) -> AccountError {
    StoreError::Damaged { name: name.clone(), source: "no account credentials".into() }.into()
}
