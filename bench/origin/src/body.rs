//! A body of known length that costs nothing to make.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// One piece of a long body: large enough that the origin's own cost vanishes in bulk figures.
const PIECE: usize = 64 * 1024;

static ZEROS: [u8; PIECE] = [0; PIECE];

/// `left` bytes, cut from one shared piece again and again.
#[derive(Debug)]
pub(crate) struct Filler {
    piece: Bytes,
    left: u64,
}

impl Filler {
    /// A body of `count` zero bytes.
    pub(crate) fn zeros(count: u64) -> Self {
        Self { piece: Bytes::from_static(&ZEROS), left: count }
    }
}

impl From<Bytes> for Filler {
    /// A body that is exactly `bytes`.
    fn from(bytes: Bytes) -> Self {
        Self { left: bytes.len() as u64, piece: bytes }
    }
}

impl Body for Filler {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).unwrap_or(PIECE).min(self.piece.len());
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(self.piece.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
