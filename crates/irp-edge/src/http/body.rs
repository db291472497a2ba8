//! The bodies that pass through the edge, without boxes: [`RequestBody`] towards the upstream,
//! [`TunnelBody`] back from it, `VisitorBody` out to the visitor.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep},
};

use super::{
    budget::Lease,
    exchange::Running,
    expect::{Wait, Wanted},
    headers,
};
use crate::tunnels::{native::Stream, pool::Busy};

/// The body of a request on its way to the upstream.
#[derive(Debug)]
pub enum RequestBody {
    /// None.
    Empty,
    /// What the visitor sends, as it comes.
    Visitor(Upload),
    /// What the visitor sent, read to its end.
    Whole(Whole),
    /// The edge's own messages to a client, as long as the session lasts.
    Messages(mpsc::Receiver<Bytes>),
}

/// A body that was read to its end, and its share of the byte budget.
#[derive(Debug)]
pub struct Whole {
    bytes: Option<Bytes>,
    _lease: Option<Lease>,
}

impl Whole {
    pub(crate) fn new(bytes: Bytes, lease: Option<Lease>) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), _lease: lease }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// The bytes once more, not copied.
    pub(super) fn shared(&self) -> Bytes {
        self.bytes.clone().unwrap_or_default()
    }
}

/// A visitor's upload.
#[derive(Debug)]
pub struct Upload {
    incoming: Incoming,
    progress: Arc<Progress>,
    /// How long the visitor may pause before there is an answer; `None` is for ever.
    pause_limit: Option<Duration>,
    pause: Option<Pin<Box<Sleep>>>,
    /// The visitor waits for the upstream's word before it sends.
    wait: Option<Wait>,
}

/// How far an upload has come; shared with those who wait for its end.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    /// Milliseconds from `start` to the last frame.
    last: AtomicU64,
    /// The upstream takes more than the visitor has sent.
    wanting: AtomicBool,
    ended: AtomicBool,
    answered: AtomicBool,
    paused_too_long: AtomicBool,
    broken_off: AtomicBool,
}

/// Why an upload ended early.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The visitor's connection failed, or its framing was wrong.
    #[error("the visitor broke off the upload")]
    Visitor(#[source] hyper::Error),
    /// The visitor sent nothing for too long.
    #[error("the visitor paused the upload for too long")]
    Paused,
}

impl RequestBody {
    /// The body of a visitor's request. Where `pause_limit` is given, the visitor may not pause longer than
    /// that before there is an answer.
    pub(super) fn new(incoming: Incoming, pause_limit: Option<Duration>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        let progress = Progress {
            start: Instant::now(),
            last: AtomicU64::new(0),
            wanting: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            paused_too_long: AtomicBool::new(false),
            broken_off: AtomicBool::new(false),
        };
        Self::Visitor(Upload { incoming, progress: Arc::new(progress), pause_limit, pause: None, wait: None })
    }

    /// The word that the upload waits for, where it does.
    #[must_use]
    pub fn waits_for(&self) -> Option<&Arc<Wanted>> {
        match self {
            Self::Empty | Self::Whole(_) | Self::Messages(_) => None,
            Self::Visitor(upload) => upload.wait.as_ref().map(Wait::wanted),
        }
    }

    /// How far the upload is, where there is one.
    #[must_use]
    pub fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty | Self::Whole(_) | Self::Messages(_) => None,
            Self::Visitor(upload) => Some(Arc::clone(&upload.progress)),
        }
    }
}

impl Progress {
    /// Whether the last byte was handed on.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The head of the answer is there: from now on the visitor may pause, as two-way streams do.
    pub(super) fn set_answered(&self) {
        self.answered.store(true, Ordering::Release);
    }

    /// Whether the visitor was cut because of a pause.
    pub(super) fn paused_too_long(&self) -> bool {
        self.paused_too_long.load(Ordering::Acquire)
    }

    /// Whether the visitor's connection failed in the middle of it, or its framing was wrong.
    pub(super) fn broken_off(&self) -> bool {
        self.broken_off.load(Ordering::Acquire)
    }

    /// Whether it is the visitor who keeps the upload waiting, and not the upstream.
    pub(super) fn waits_for_visitor(&self) -> bool {
        self.wanting.load(Ordering::Acquire) && !self.ended()
    }

    /// When the last frame was handed on.
    pub(super) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    fn advance(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }
}

impl Upload {
    /// Reads nothing before the upstream wants it; for as long as patience allows.
    pub(super) fn hold_back(&mut self) -> &Wait {
        self.wait.insert(Wait::begin())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.poll(cx));
            self.wait = None;
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_request_trailers(trailers);
                }
                self.pause = None;
                self.progress.wanting.store(false, Ordering::Release);
                self.progress.advance();
                if self.incoming.is_end_stream() || frame.is_trailers() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.progress.broken_off.store(true, Ordering::Release);
                Poll::Ready(Some(Err(UploadError::Visitor(error))))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.progress.wanting.store(true, Ordering::Release);
                ready!(self.poll_pause(cx));
                self.progress.paused_too_long.store(true, Ordering::Release);
                Poll::Ready(Some(Err(UploadError::Paused)))
            }
        }
    }

    /// Ready when the visitor has paused too long and nobody has answered.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.pause_limit else { return Poll::Pending };
        if self.progress.answered.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(pause.as_mut().poll(cx));
        // The answer may have come during the pause.
        if self.progress.answered.load(Ordering::Acquire) { Poll::Pending } else { Poll::Ready(()) }
    }

    fn end(&mut self) {
        self.progress.advance();
        self.progress.ended.store(true, Ordering::Release);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Visitor(upload) => upload.poll(cx),
            Self::Whole(whole) => Poll::Ready(whole.bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Messages(messages) => {
                messages.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Visitor(upload) => upload.incoming.is_end_stream(),
            Self::Whole(whole) => whole.bytes.is_none(),
            Self::Messages(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Visitor(upload) => upload.incoming.size_hint(),
            Self::Whole(whole) => SizeHint::with_exact(u64::try_from(whole.bytes().len()).unwrap_or(0)),
            Self::Messages(_) => SizeHint::default(),
        }
    }
}

/// The body of an answer that comes through a tunnel. Where it came on a connection of a pool, that
/// connection goes back when the body was read to its end, and is closed when the body is dropped before.
#[derive(Debug)]
pub struct TunnelBody {
    incoming: Incoming,
    busy: Option<Busy>,
    _stream: Option<Stream>,
    ended: bool,
}

impl TunnelBody {
    /// A body that is read from `busy`.
    pub(crate) fn lent(incoming: Incoming, busy: Busy) -> Self {
        Self { incoming, busy: Some(busy), _stream: None, ended: false }
    }

    /// A body that comes on a stream of a shared connection, which counts as long as it lasts.
    pub(crate) fn streamed(incoming: Incoming, stream: Stream) -> Self {
        Self { incoming, busy: None, _stream: Some(stream), ended: false }
    }

    /// The empty body of an answer after which the connection speaks another protocol.
    pub(crate) fn upgraded(incoming: Incoming) -> Self {
        Self { incoming, busy: None, _stream: None, ended: false }
    }
}

impl Body for TunnelBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut polled = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &mut polled {
            None => self.ended = true,
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_response(trailers);
                    self.ended = true;
                }
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for TunnelBody {
    fn drop(&mut self) {
        // hyper does not poll a body of known length once more after its last byte.
        if (self.ended || self.incoming.is_end_stream())
            && let Some(busy) = self.busy.take()
        {
            busy.release();
        }
    }
}

/// The body of an answer to a visitor.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large variant is the common one")]
pub(super) enum VisitorBody {
    /// A whole page of the edge's own.
    Page(Option<Bytes>),
    /// What comes through the tunnel, with what is held as long as it lasts.
    Tunnel { body: TunnelBody, running: Running },
}

impl Body for VisitorBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Page(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Tunnel { body, running } => {
                let polled = Pin::new(&mut *body).poll_frame(cx);
                match &polled {
                    // Now it is the upstream that is waited for.
                    Poll::Pending => running.visitor_is_ready(),
                    Poll::Ready(Some(Ok(frame))) => {
                        running.frame_waits_for_visitor(frame.data_ref().map_or(0, Bytes::len));
                        // hyper does not ask once more after the last byte of a known length.
                        if frame.is_trailers() || body.is_end_stream() {
                            running.complete();
                        }
                    }
                    Poll::Ready(None) => running.complete(),
                    Poll::Ready(Some(Err(_))) => {}
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(bytes) => bytes.is_none(),
            Self::Tunnel { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(bytes) => SizeHint::with_exact(
                bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(0)),
            ),
            Self::Tunnel { body, .. } => body.size_hint(),
        }
    }
}
