//! One public connection: what its requests share, and when it is cut.
//!
//! A visitor costs memory as long as they are there, so every way of merely being there has an end: headers
//! that do not come, silence between requests, answers that are not taken. All of that is noted in atomics
//! where it happens, and looked at by [`Connection::look`] every now and then; there is no timer per
//! request.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use irp_wire::{name::Hostname, tasks::Tasks};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    task::futures::TaskLocalFuture,
    time::{Instant, Sleep},
};

use super::{forwarding::Forwarding, limits::Limits};
use crate::metrics::Counts;

/// What the requests of one public connection share. Times are milliseconds since it began, plus one, so
/// that zero means never.
#[derive(Debug)]
pub(super) struct Connection {
    began: Instant,
    pub(super) forwarding: Forwarding,
    /// The name that TLS asked for.
    pub(super) sni: Option<Hostname>,
    /// Whether the budget had no room for this connection; its requests are answered with 503.
    pub(super) starved: bool,
    in_flight: AtomicUsize,
    /// How many of those in flight have no end of their own.
    endless: AtomicUsize,
    idle_since: AtomicU64,
    /// The first byte of a request was read, and its headers are not complete.
    head_since: AtomicU64,
    /// Bytes wait for a visitor whose connection takes none.
    write_blocked_since: AtomicU64,
    /// The connection speaks another protocol now.
    upgraded: AtomicBool,
    reader: AtomicWaker,
    gauge: Gauge,
    streams: Mutex<Vec<Arc<Gauge>>>,
}

/// Since when a frame of an answer waits for its visitor.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    waiting_since: AtomicU64,
    cut: Notify,
}

/// What is to be done with a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// It has been idle for long enough: say goodbye.
    Finish,
    /// The visitor is too slow: close.
    Cut(&'static str),
}

impl Connection {
    pub(super) fn new(forwarding: Forwarding, sni: Option<Hostname>, starved: bool) -> Self {
        Self {
            began: Instant::now(),
            forwarding,
            sni,
            starved,
            in_flight: AtomicUsize::new(0),
            endless: AtomicUsize::new(0),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(1),
            write_blocked_since: AtomicU64::new(0),
            upgraded: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            gauge: Gauge::default(),
            streams: Mutex::default(),
        }
    }

    /// Milliseconds since the connection began, plus one.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// The gauge of a connection that carries one answer at a time.
    pub(super) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    pub(super) fn exchange_began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    pub(super) fn endless_began(&self) {
        self.endless.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn endless_ended(&self) {
        self.endless.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether something is in flight, and nothing of it will end by itself.
    pub(super) fn has_only_endless(&self) -> bool {
        let endless = self.endless.load(Ordering::Relaxed);
        endless > 0 && self.in_flight.load(Ordering::Relaxed) <= endless
    }

    pub(super) fn exchange_ended(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Release);
        self.reader.wake();
    }

    /// The connection speaks another protocol now: its end is passed on when it comes.
    pub(super) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Release);
        self.reader.wake();
    }

    /// Has `gauge` looked at from now on.
    pub(super) fn watch(&self, gauge: &Arc<Gauge>) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(gauge));
    }

    pub(super) fn unwatch(&self, gauge: &Arc<Gauge>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|other| !Arc::ptr_eq(other, gauge));
    }

    /// Judges the connection; streams of an HTTP/2 connection that are not taken are cut one by one.
    pub(super) fn look(&self, limits: &Limits) -> Verdict {
        let now = self.now();
        if passed(&self.write_blocked_since, limits.stalled, now) {
            return Verdict::Cut("the visitor takes nothing");
        }
        if passed(&self.gauge.waiting_since, limits.stalled, now) {
            return Verdict::Cut("the visitor takes nothing of the answer");
        }
        if passed(&self.head_since, limits.header_read, now) {
            return Verdict::Cut("the headers of the request take too long");
        }
        for gauge in self.streams.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if passed(&gauge.waiting_since, limits.stalled, now) {
                gauge.cut.notify_one();
            }
        }
        let idle = self.in_flight.load(Ordering::Relaxed) == 0 && passed(&self.idle_since, limits.idle, now);
        if idle { Verdict::Finish } else { Verdict::Keep }
    }

    /// Whether bytes have waited longer than `limit` for a visitor whose connection takes none.
    pub(super) fn is_blocked(&self, limit: Duration) -> bool {
        passed(&self.write_blocked_since, limit, self.now())
    }

    fn note_read(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn note_write<T>(&self, polled: &Poll<io::Result<T>>) {
        match polled {
            Poll::Pending if self.write_blocked_since.load(Ordering::Relaxed) == 0 => {
                self.write_blocked_since.store(self.now(), Ordering::Relaxed);
            }
            Poll::Pending => {}
            Poll::Ready(_) => {
                if self.write_blocked_since.load(Ordering::Relaxed) != 0 {
                    self.write_blocked_since.store(0, Ordering::Relaxed);
                    self.reader.wake();
                }
            }
        }
    }

    /// Whether the visitor still gets something, so that the end of its sending half is no goodbye yet.
    fn is_answering(&self) -> bool {
        let in_flight = self.in_flight.load(Ordering::Acquire) > 0;
        let blocked = self.write_blocked_since.load(Ordering::Relaxed) != 0;
        (in_flight || blocked) && !self.upgraded.load(Ordering::Acquire)
    }
}

impl Gauge {
    pub(super) fn wait(&self, now: u64) {
        self.waiting_since.store(now, Ordering::Relaxed);
    }

    pub(super) fn ready(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
    }
}

fn passed(since: &AtomicU64, limit: Duration, now: u64) -> bool {
    let since = since.load(Ordering::Relaxed);
    since != 0 && u128::from(now.saturating_sub(since)) > limit.as_millis()
}

tokio::task_local! {
    /// The gauge of the HTTP/2 stream whose task is running.
    static STREAM: Arc<Gauge>;
}

/// The gauge of the HTTP/2 stream that asks; `None` on HTTP/1.1.
pub(super) fn current_stream() -> Option<Arc<Gauge>> {
    STREAM.try_with(Arc::clone).ok()
}

/// Runs the streams of an HTTP/2 connection, each with a gauge. A stream whose visitor takes nothing is
/// ended alone: hyper does not poll the body of such a stream, so nothing inside it could do that.
#[derive(Clone, Debug)]
pub(super) struct Streams(pub(super) Tasks);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let gauge = Arc::new(Gauge::default());
        let cut = Arc::clone(&gauge);
        let cut = async move { cut.cut.notified().await };
        self.0.spawn(Stream { stream: STREAM.scope(gauge, stream), cut });
    }
}

pin_project! {
    /// One stream, until it ends or is cut. By hand, since an async block would have room for the stream twice.
    struct Stream<F, C> {
        #[pin]
        stream: TaskLocalFuture<Arc<Gauge>, F>,
        #[pin]
        cut: C,
    }
}

impl<F: Future, C: Future<Output = ()>> Future for Stream<F, C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        ready!(this.cut.poll(cx));
        tracing::debug!("a stream was cut: its visitor takes nothing of it");
        Poll::Ready(())
    }
}

/// The visitor's socket. Notes for its [`Connection`] when bytes come and go, and withholds the end of the
/// visitor's sending half for a while when the visitor still waits for an answer: hyper takes that end for a
/// visitor who is gone, which it mostly is.
#[derive(Debug)]
pub(super) struct VisitorIo<IO> {
    io: IO,
    connection: Arc<Connection>,
    counts: Arc<Counts>,
    half_closed: Duration,
    ended: bool,
    grace: Option<Pin<Box<Sleep>>>,
}

impl<IO> VisitorIo<IO> {
    pub(super) fn new(
        io: IO,
        connection: Arc<Connection>,
        counts: Arc<Counts>,
        half_closed: Duration,
    ) -> Self {
        Self { io, connection, counts, half_closed, ended: false, grace: None }
    }

    fn note_write(&self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.counts.sent(*bytes);
        }
        self.connection.note_write(polled);
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.reader.register(cx.waker());
        if !self.connection.is_answering() {
            return Poll::Ready(Ok(()));
        }
        let limit = self.half_closed;
        let grace = self.grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(grace.as_mut().poll(cx));
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for VisitorIo<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended {
            return self.poll_end(cx);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() == before && buf.remaining() > 0 {
            self.ended = true;
            return self.poll_end(cx);
        }
        self.counts.received(buf.filled().len() - before);
        self.connection.note_read();
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for VisitorIo<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note_write(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note_write(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        // A flush that waits is a visitor who takes nothing; one that succeeds may have had nothing to do.
        if polled.is_pending() {
            self.connection.note_write(&polled);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        if polled.is_pending() {
            self.connection.note_write(&polled);
        }
        polled
    }
}
