//! What can go wrong with an order, by the step that failed.

use super::{
    super::{account::AccountError, chain::ChainError, solve::DnsError, store::StoreError},
    VISIBLE_WITHIN,
};

/// An order that did not lead to a certificate.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The store failed.
    #[error("what the order needs cannot be kept")]
    Store(#[from] StoreError),
    /// There is no account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// No key, or no request made from it.
    #[error("no key for the certificate")]
    Key(#[source] rcgen::Error),
    /// The authority does not take the order.
    #[error("the certificate authority does not take the order")]
    New(#[source] instant_acme::Error),
    /// The authority does not show an order that was made earlier.
    #[error("the earlier order cannot be fetched")]
    Fetch(#[source] instant_acme::Error),
    /// The authority does not say what is to be proven.
    #[error("the certificate authority does not say what is to be proven")]
    Authorization(#[source] instant_acme::Error),
    /// The authority does not offer this challenge for this name.
    #[error("the certificate authority does not offer {challenge} for {name}")]
    NotOffered {
        /// The name.
        name: String,
        /// The challenge.
        challenge: &'static str,
    },
    /// The zone failed.
    #[error(transparent)]
    Dns(DnsError),
    /// The record could not be seen in time.
    #[error("the TXT record was not visible within {} s", VISIBLE_WITHIN.as_secs())]
    NotVisible,
    /// No certificate for tls-alpn-01.
    #[error("no certificate for the validation")]
    ChallengeCertificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The authority tried to validate this name, in vain.
    #[error("the certificate authority could not validate {name}")]
    Validation {
        /// The name.
        name: String,
        /// What the authority says.
        #[source]
        problem: instant_acme::Problem,
    },
    /// The validation did not come to an end.
    #[error("the validation did not come to an end")]
    Validate(#[source] instant_acme::Error),
    /// The order became invalid, and the authority does not say why.
    #[error("the order has become invalid")]
    Invalid,
    /// The authority does not issue.
    #[error("the certificate authority does not issue")]
    Finalize(#[source] instant_acme::Error),
    /// The certificate could not be fetched; the order is kept.
    #[error("the certificate cannot be fetched")]
    Download(#[source] instant_acme::Error),
    /// The certificate is of no use.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The certificate is for other names than those ordered.
    #[error("the certificate is for other names: {got}")]
    OtherNames {
        /// For these.
        got: String,
    },
    /// The process is ending, or another holds the lease now.
    #[error("the order was called off")]
    CalledOff,
}

impl OrderError {
    /// Whether the authority does not know the account (any more).
    pub(in super::super) fn is_account_unknown(&self) -> bool {
        let (Self::Account(AccountError::Refused(error))
        | Self::New(error)
        | Self::Fetch(error)
        | Self::Authorization(error)) = self
        else {
            return false;
        };
        matches!(error, instant_acme::Error::Api(problem)
            if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist"))
    }
}
