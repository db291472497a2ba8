//! Credentials, kept until shortly before they end.

use std::{
    error::Error as _,
    fmt,
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider, error::CredentialsError},
};
use tokio::sync::Mutex;

use crate::{
    clock,
    error::{Action, Error, Kind},
};

/// New ones are asked for this long before the old ones end. The instance's are renewed by AWS at least five
/// minutes ahead.
const AHEAD: Duration = Duration::from_secs(180);

/// How long a provider may take: SSO and assumed roles make calls of their own.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct CachedCredentials {
    provider: Option<SharedCredentialsProvider>,
    kept: Mutex<Option<Credentials>>,
}

impl fmt::Debug for CachedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedCredentials").finish_non_exhaustive()
    }
}

impl CachedCredentials {
    pub(crate) fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self { provider, kept: Mutex::default() }
    }

    /// Credentials that are good now, as far as is known.
    pub(crate) async fn get(&self, action: Action) -> Result<Credentials, Error> {
        let failed = |kind, message: &str| Error::new(action, kind, message);
        let Some(provider) = &self.provider else {
            return Err(failed(Kind::NoCredentials, NO_CREDENTIALS));
        };
        // Held over the await on purpose: of many calls at once, one asks. Nothing on a request's way waits here.
        let mut kept = self.kept.lock().await;
        if let Some(credentials) = kept.as_ref().filter(|kept| lasts(kept, clock::now())) {
            return Ok(credentials.clone());
        }
        let asked = tokio::time::timeout(WITHIN, provider.provide_credentials()).await;
        let credentials = match asked {
            Ok(Ok(credentials)) => credentials,
            Ok(Err(error)) => return Err(explained(action, error)),
            Err(_) => return Err(failed(Kind::Network, "finding credentials took too long")),
        };
        *kept = Some(credentials.clone());
        Ok(credentials)
    }

    /// Forgets credentials that AWS called expired.
    pub(crate) async fn forget(&self) {
        *self.kept.lock().await = None;
    }
}

const NO_CREDENTIALS: &str = "there are no AWS credentials";

fn lasts(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_none_or(|end| end > now + AHEAD)
}

fn explained(action: Action, error: CredentialsError) -> Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    let (kind, message) = match error {
        _ if text.contains("expired") => (Kind::ExpiredCredentials, "the AWS session has expired"),
        CredentialsError::CredentialsNotLoaded(_) => (Kind::NoCredentials, NO_CREDENTIALS),
        CredentialsError::ProviderTimedOut(_) => (Kind::Network, "finding credentials took too long"),
        _ => (Kind::NoCredentials, "the AWS credentials cannot be read"),
    };
    Error::new(action, kind, message).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_renewed_before_they_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ending = |after: Option<u64>| {
            let end = after.map(|seconds| now + Duration::from_secs(seconds));
            Credentials::new("id", "secret", None, end, "test")
        };
        assert!(lasts(&ending(None), now));
        assert!(lasts(&ending(Some(600)), now));
        assert!(!lasts(&ending(Some(170)), now));
    }
}
