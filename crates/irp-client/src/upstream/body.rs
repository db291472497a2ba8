//! The body of a request on its way to the upstream.

use std::{
    convert::Infallible,
    fmt,
    future::Future as _,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::serve::announce::Announce;

/// How long a body waits for `100 Continue`. Some programs never send it (RFC 9110, section 10.1.1, wants
/// nobody to wait for ever).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// A visitor's body, or none. It tells how it gets on, and may wait at a [`Gate`].
#[derive(Default)]
pub(crate) struct RequestBody {
    inner: Option<Incoming>,
    progress: Option<Arc<Progress>>,
    gate: Option<(Arc<Gate>, Pin<Box<Sleep>>)>,
    /// Said before the first byte is read.
    announce: Option<Announce>,
}

/// Why a body ends early.
#[derive(Debug)]
pub(crate) enum RequestBodyError {
    /// The visitor, or the edge, broke off.
    Visitor(hyper::Error),
    /// The upstream answered without wanting the body.
    Unwanted,
}

impl fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Visitor(_) => "the visitor broke off",
            Self::Unwanted => "the upstream does not want the body",
        })
    }
}

impl std::error::Error for RequestBodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Visitor(error) => Some(error),
            Self::Unwanted => None,
        }
    }
}

impl From<Infallible> for RequestBodyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl RequestBody {
    /// A visitor's body with its progress; bodies that are empty from the start have none.
    pub(crate) fn new(inner: Incoming, announce: Option<Announce>) -> (Self, Option<Arc<Progress>>) {
        if inner.is_end_stream() {
            return (Self::default(), None);
        }
        let progress = Arc::new(Progress::new());
        (Self { inner: Some(inner), progress: Some(progress.clone()), gate: None, announce }, Some(progress))
    }

    /// Holds the body back until the upstream asks for it, or [`CONTINUE_PATIENCE`] is over.
    pub(crate) fn wait_at(&mut self, gate: Arc<Gate>) {
        self.gate = Some((gate, Box::pin(tokio::time::sleep(CONTINUE_PATIENCE))));
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RequestBodyError>> {
        let Some((gate, patience)) = &mut self.gate else {
            return Poll::Ready(Ok(()));
        };
        match gate.poll(cx) {
            Poll::Ready(true) => {}
            Poll::Ready(false) => return Poll::Ready(Err(RequestBodyError::Unwanted)),
            Poll::Pending => {
                if patience.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }
        self.gate = None;
        Poll::Ready(Ok(()))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        if let Err(error) = std::task::ready!(this.poll_gate(cx)) {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        if let Some(announce) = this.announce.take() {
            announce.wanted();
        }
        let frame = std::task::ready!(Pin::new(inner).poll_frame(cx));
        if let Some(progress) = &this.progress {
            progress.note();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::Visitor)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// When a body last moved: an answer is late only when nothing has moved for the time allowed.
#[derive(Debug)]
pub(crate) struct Progress {
    moved: Mutex<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { moved: Mutex::new(Instant::now()) }
    }

    fn note(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When it last moved.
    pub(crate) fn moved(&self) -> Instant {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a body waits for `100 Continue`.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

const SHUT: u8 = 0;
const OPEN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Gate {
    /// The upstream wants the body.
    pub(crate) fn open(&self) {
        self.turn(OPEN);
    }

    /// The exchange is over: a body that still waits is never sent.
    pub(crate) fn give_up(&self) {
        self.turn(GIVEN_UP);
    }

    fn turn(&self, state: u8) {
        if self.state.compare_exchange(SHUT, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
            && let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<bool> {
        // The waker is left first, so that a turn between the two lines is seen by one of them.
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        match self.state.load(Ordering::Acquire) {
            SHUT => Poll::Pending,
            state => Poll::Ready(state == OPEN),
        }
    }
}
