//! What verifying AWS SNS needs from outside: the certificates with which SNS signs, and the confirmation of
//! subscriptions.
//!
//! A stranger can name any address of SNS in a request, so fetching is bounded in bytes and time, in calls at once and
//! calls a minute, and what was fetched is kept. [`irp_webhook`] gives out no address but those of SNS.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use irp_webhook::{Certificate, CertificateUrl, SubscribeUrl};
use tokio::{sync::Semaphore, time::Instant};

use crate::outside::Outside;

/// The longest answer that is read, in bytes: certificates have two KiB, confirmations one.
const ANSWER_MAX: usize = 16 * 1024;
/// How many certificates are kept; SNS has one for each region at a time.
const KEPT_MAX: usize = 32;
/// How long a certificate is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long a certificate that could not be fetched is not asked for again.
const FAILED_FOR: Duration = Duration::from_secs(10);
/// Calls at once.
const CALLS_MAX: usize = 4;
/// Calls in a minute: an attacker's addresses cost no more than that.
const CALLS_PER_MINUTE: u32 = 30;

/// Fetches and keeps certificates, and confirms subscriptions.
#[derive(Debug)]
pub(in crate::http) struct Notary {
    outside: Option<Outside>,
    kept: Mutex<Vec<Kept>>,
    calls: Semaphore,
    minute: Mutex<Minute>,
}

#[derive(Debug)]
struct Kept {
    url: CertificateUrl,
    since: Instant,
    /// `None` where it could not be fetched.
    certificate: Option<Arc<Certificate>>,
}

/// The calls of the present minute.
#[derive(Debug)]
struct Minute {
    began: Instant,
    calls: u32,
}

impl Notary {
    /// One that calls by this way; without one it knows nothing.
    pub(in crate::http) fn new(outside: Option<Outside>) -> Self {
        Self {
            outside,
            kept: Mutex::default(),
            calls: Semaphore::new(CALLS_MAX),
            minute: Mutex::new(Minute { began: Instant::now(), calls: 0 }),
        }
    }

    /// The certificate at `url`, kept or fetched; `None` where it cannot be had.
    pub(super) async fn certificate(&self, url: &CertificateUrl) -> Option<Arc<Certificate>> {
        if let Some(known) = self.known(url) {
            return known;
        }
        let _call = self.calls.acquire().await.ok()?;
        // Whoever waited here may find what another has fetched.
        if let Some(known) = self.known(url) {
            return known;
        }
        let certificate = match self.get(&url.to_string()).await.map(|body| Certificate::from_pem(&body)) {
            Ok(Ok(certificate)) => Some(Arc::new(certificate)),
            Ok(Err(error)) => {
                tracing::warn!(%url, %error, "no signing certificate of SNS");
                None
            }
            Err(why) => {
                tracing::warn!(%url, why, "cannot fetch a signing certificate of SNS");
                None
            }
        };
        let fresh = Kept { url: url.clone(), since: Instant::now(), certificate: certificate.clone() };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| other.url != *url);
        if kept.len() >= KEPT_MAX {
            // What failed goes first, then the oldest: certificates that are in use outlive what strangers name.
            let goes = kept.iter().position(|other| other.certificate.is_none()).unwrap_or(0);
            kept.remove(goes);
        }
        kept.push(fresh);
        certificate
    }

    /// Confirms a subscription.
    ///
    /// # Errors
    ///
    /// Says in words why that did not work.
    pub(super) async fn confirm(&self, url: &SubscribeUrl) -> Result<(), String> {
        let _call = self.calls.acquire().await.map_err(|_| "the edge is stopping".to_owned())?;
        self.get(&url.to_string()).await.map(drop)
    }

    fn known(&self, url: &CertificateUrl) -> Option<Option<Arc<Certificate>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|kept| kept.url == *url)?;
        let good_for = if found.certificate.is_some() { KEPT_FOR } else { FAILED_FOR };
        (found.since.elapsed() < good_for).then(|| found.certificate.clone())
    }

    async fn get(&self, url: &str) -> Result<Bytes, String> {
        let outside = self.outside.as_ref().ok_or("this machine trusts no authorities for HTTPS")?;
        if !self.may_call(Instant::now()) {
            return Err("there were too many such calls in this minute".into());
        }
        let request = Request::get(url).body(Full::default()).map_err(|error| error.to_string())?;
        let response = outside.call(request, ANSWER_MAX).await.map_err(|error| error.to_string())?;
        match response.status() {
            status if status.is_success() => Ok(response.into_body()),
            status => Err(format!("SNS answered {status}")),
        }
    }

    fn may_call(&self, now: Instant) -> bool {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(minute.began) >= Duration::from_secs(60) {
            *minute = Minute { began: now, calls: 0 };
        }
        minute.calls += 1;
        minute.calls <= CALLS_PER_MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_few_in_each_minute() {
        let notary = Notary::new(None);
        let made = |now| (0..100).filter(|_| notary.may_call(now)).count();
        assert_eq!((made(Instant::now()), made(Instant::now())), (30, 0));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(made(Instant::now()), 30);
    }
}
