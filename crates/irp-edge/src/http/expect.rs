//! Uploads whose visitor asks first: `Expect: 100-continue` (RFC 9110, section 10.1.1).
//!
//! hyper says `100 Continue` to a visitor when the body is read for the first time. So the body is not read
//! until the upstream wants it: until its own 100 comes back through the tunnel, or its patience is over. An
//! upstream that refuses from the headers alone spares the visitor the upload.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use http::{HeaderMap, Request, StatusCode, header};
use tokio::time::Sleep;

use super::body::RequestBody;

/// How long the upstream's word is waited for: the client gives its upstream one second, and the rest is for
/// the way. Nobody is to wait for ever, since some programs never say 100.
const PATIENCE: Duration = Duration::from_secs(2);

/// The upstream's word that it wants an upload.
#[derive(Debug, Default)]
pub struct Wanted {
    said: AtomicBool,
    waker: AtomicWaker,
}

impl Wanted {
    /// The upstream wants it.
    pub fn say(&self) {
        self.said.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        // The waker is left first, so that a word between the two lines is seen by one of them.
        self.waker.register(cx.waker());
        if self.said.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The wait of one upload.
#[derive(Debug)]
pub(super) struct Wait {
    wanted: Arc<Wanted>,
    /// Begins when the tunnel asks for the body; before that the request may be held.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    pub(super) fn begin() -> Self {
        Self { wanted: Arc::default(), patience: None }
    }

    pub(super) fn wanted(&self) -> &Arc<Wanted> {
        &self.wanted
    }

    /// Ready when the upload may begin.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.wanted.poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => {
                let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
                patience.as_mut().poll(cx)
            }
        }
    }
}

/// Whether the visitor waits for a word before the upload.
pub(super) fn asks_first(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Holds the body of `request` back until it is wanted. On HTTP/1.1, that of lanes and forwards, the word is a
/// 100; on HTTP/2 it is a control message.
pub(super) fn hold_back(request: &mut Request<RequestBody>) {
    let RequestBody::Visitor(upload) = request.body_mut() else { return };
    let wanted = Arc::clone(upload.hold_back().wanted());
    hyper::ext::on_informational(request, move |answer| {
        if answer.status() == StatusCode::CONTINUE {
            wanted.say();
        }
    });
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    async fn over(mut wait: Wait) {
        std::future::poll_fn(|cx| wait.poll(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_waits_for_the_word_and_not_for_ever() {
        let wait = Wait::begin();
        let wanted = Arc::clone(wait.wanted());
        let begun = Instant::now();
        let waiting = tokio::spawn(over(wait));
        tokio::time::sleep(PATIENCE / 2).await;
        assert!(!waiting.is_finished());
        wanted.say();
        waiting.await.unwrap();
        assert_eq!(begun.elapsed(), PATIENCE / 2);

        let begun = Instant::now();
        timeout(2 * PATIENCE, over(Wait::begin())).await.unwrap();
        assert!(begun.elapsed() >= PATIENCE);
    }

    #[test]
    fn only_the_one_expectation_that_there_is_counts() {
        let headers = |value: &str| [(header::EXPECT, value.parse().unwrap())].into_iter().collect();
        assert!(asks_first(&headers("100-Continue")));
        assert!(!asks_first(&headers("200-ok")) && !asks_first(&HeaderMap::new()));
    }
}
