//! Tells people who wait that the program is away, where the answer cannot say so: by Slack's `response_url`.
//!
//! Which addresses may be called is decided where the answer is made (`irp_webhook`: `https://hooks.slack.com/` alone).
//! An answer is not looked at beyond its status, and nothing is tried twice.

use std::sync::Arc;

use http::{HeaderValue, Request, header};
use http_body_util::Full;
use tokio::sync::Semaphore;

use crate::outside::Outside;

/// How many may be told at once; people press no more buttons than that.
const AT_ONCE: usize = 16;
/// The longest answer that is read, in bytes: Slack says `ok`.
const ANSWER_MAX: usize = 16 * 1024;

/// Tells people. Clones share the bound.
#[derive(Clone, Debug)]
pub(super) struct Messenger {
    outside: Option<Outside>,
    under_way: Arc<Semaphore>,
}

impl Default for Messenger {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Messenger {
    /// One that calls by this way; without one, nobody is told.
    pub(super) fn new(outside: Option<Outside>) -> Self {
        Self { outside, under_way: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Posts JSON. The address is a secret of the person, so it is not in the log.
    pub(super) async fn tell(&self, url: &str, json: Vec<u8>) {
        if let Err(why) = self.post(url, json).await {
            tracing::warn!(why, "a person could not be told that the program is away");
        }
    }

    async fn post(&self, url: &str, json: Vec<u8>) -> Result<(), String> {
        let outside = self.outside.as_ref().ok_or("this machine trusts no authorities for HTTPS")?;
        let _place = self.under_way.try_acquire().map_err(|_| "too many are told at once")?;
        let mut request = Request::post(url).body(Full::from(json)).map_err(|error| error.to_string())?;
        let kind = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        let response = outside.call(request, ANSWER_MAX).await.map_err(|error| error.to_string())?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(status.to_string()),
        }
    }
}
