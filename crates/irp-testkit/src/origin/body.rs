//! Bodies: the pattern of which big ones are made, and the guard that sees how each one ends.

use std::{
    io,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
};

use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

use super::counters::Visit;

/// Any body that an origin sends or a visitor uploads.
pub type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

/// 251 is prime, so that a piece that was lost, doubled or moved by a power of two cannot go unnoticed.
const PERIOD: usize = 251;

/// One piece of pattern: whole periods, so that every piece begins like the first.
static PIECE: LazyLock<Bytes> = LazyLock::new(|| {
    (0..PERIOD * 260).map(|at| u8::try_from(at % PERIOD).unwrap()).collect::<Vec<_>>().into()
});

/// `length` bytes of the test pattern (0, 1, … 250, 0, 1, …), made in constant memory.
#[must_use]
pub fn pattern(length: u64) -> AnyBody {
    Pattern { left: length, sized: true }.boxed_unsync()
}

/// Like [`pattern`], without telling its length beforehand, so that HTTP/1.1 sends it in chunks.
#[must_use]
pub fn unsized_pattern(length: u64) -> AnyBody {
    Pattern { left: length, sized: false }.boxed_unsync()
}

/// SHA-256 of `length` bytes of the test pattern, in hexadecimal.
#[must_use]
pub fn pattern_sha256(length: u64) -> String {
    let mut hash = digest::Context::new(&SHA256);
    let mut left = length;
    while left > 0 {
        let piece = first(left);
        hash.update(&piece);
        left -= piece.len() as u64;
    }
    hex(hash.finish().as_ref())
}

/// SHA-256 of `bytes`, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&SHA256, bytes).as_ref())
}

/// A body of these bytes.
pub fn whole(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body at all.
#[must_use]
pub fn nothing() -> AnyBody {
    whole(Bytes::new())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn first(length: u64) -> Bytes {
    PIECE.slice(..usize::try_from(length).unwrap_or(usize::MAX).min(PIECE.len()))
}

struct Pattern {
    left: u64,
    sized: bool,
}

impl http_body::Body for Pattern {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = first(self.left);
        self.left -= piece.len() as u64;
        Poll::Ready(if piece.is_empty() { None } else { Some(Ok(Frame::data(piece))) })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized { SizeHint::with_exact(self.left) } else { SizeHint::default() }
    }
}

/// The body of an answer, which tells its [`Visit`] when it was sent to the end.
pub(super) struct Watched {
    body: AnyBody,
    visit: Visit,
}

impl Watched {
    pub(super) fn new(body: AnyBody, visit: Visit) -> Self {
        let mut watched = Self { body, visit };
        // The server does not ask a body that is empty from the start.
        watched.look();
        watched
    }

    fn look(&mut self) {
        if self.body.is_end_stream() {
            self.visit.finish();
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(None) => self.visit.finish(),
            // Nothing may follow trailers, so that nobody asks again.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => self.visit.finish(),
            Poll::Ready(Some(Ok(_))) => self.look(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pattern_has_the_promised_length_and_hash() {
        let bytes = pattern(200_003).collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len(), 200_003);
        assert!(bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % PERIOD));
        assert_eq!(sha256(&bytes), pattern_sha256(200_003));
    }
}
