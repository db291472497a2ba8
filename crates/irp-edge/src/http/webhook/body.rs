//! Reads a body whole, within a limit and on the byte budget.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::http::{
    Refusal,
    body::Whole,
    budget::{Budget, Lease},
};

/// How long a body may take that has to be read whole; webhooks are small.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// The least that is taken from the budget at once, in bytes.
const STEP: usize = 16 * 1024;

/// Reads `body`, of at most `limit` bytes. `announced` is its `Content-Length`; the visitor may not pause longer
/// than `pause`.
pub(super) async fn read(
    mut body: Incoming,
    limit: usize,
    announced: Option<u64>,
    pause: Duration,
    budget: &Budget,
) -> Result<Whole, Refusal> {
    let announced = usize::try_from(announced.unwrap_or(0)).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(Refusal::TooLarge);
    }
    let mut held = Held::begin(budget, announced)?;
    let deadline = Instant::now() + READ_WITHIN;
    let (mut first, mut more) = (Bytes::new(), BytesMut::new());
    // A body of known length is at its end with its last byte: nobody has to ask once more.
    while !body.is_end_stream() {
        let by = deadline.min(Instant::now() + pause);
        let Ok(frame) = timeout_at(by, body.frame()).await else { return Err(Refusal::UploadPaused) };
        let Some(frame) = frame else { break };
        // Trailers are signed by nobody, so they do not go on.
        let Ok(data) = frame.map_err(|_| Refusal::UploadBroken)?.into_data() else { continue };
        let length = first.len() + more.len() + data.len();
        if length > limit {
            return Err(Refusal::TooLarge);
        }
        held.hold(length)?;
        if first.is_empty() && more.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.reserve(announced.max(length));
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
    }
    let bytes = if more.is_empty() { first } else { more.freeze() };
    Ok(Whole::new(bytes, Some(held.lease)))
}

/// What the body has taken from the budget so far.
struct Held {
    lease: Lease,
    bytes: usize,
}

impl Held {
    fn begin(budget: &Budget, announced: usize) -> Result<Self, Refusal> {
        let bytes = announced.max(STEP);
        let lease = budget.take(bytes).ok_or(Refusal::Overloaded("no memory for another body"))?;
        Ok(Self { lease, bytes })
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Refusal> {
        if bytes > self.bytes {
            // Doubled, so that this is seldom.
            let more = (bytes - self.bytes).max(self.bytes);
            if !self.lease.grow(more) {
                return Err(Refusal::Overloaded("no memory for another body"));
            }
            self.bytes += more;
        }
        Ok(())
    }
}
