//! The service: one per edge, it serves every public connection.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Request};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use irp_wire::{name::Hostname, seldom::Seldom, tasks::Tasks};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    budget::{self, Budget},
    connection::{Connection, Streams, Verdict, VisitorIo},
    exchange::ExchangeSink,
    forwarding::Forwarding,
    host_keys::HostKeys,
    limits::Limits,
    messenger::Messenger,
    pipeline,
    route::Routes,
    webhook::{Learned, Notary},
};
use crate::{idle::Activity, inbox::Inbox, metrics::Counts, outside::Outside};

/// The window of one upload of an HTTP/2 visitor.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The window of all uploads of an HTTP/2 connection together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How often an HTTP/2 visitor is asked whether they are still there, and how long they may take to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWER: Duration = Duration::from_secs(20);
/// hyper's least buffer.
const LEAST_BUFFER: usize = 8192;

/// Serves public connections. Clones share all state.
#[derive(Clone, Debug)]
pub struct Service(Arc<Shared>);

/// What all connections share.
pub(super) struct Shared {
    pub(super) routes: Arc<dyn Routes>,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) tasks: Tasks,
    pub(super) sink: Option<Arc<dyn ExchangeSink>>,
    pub(super) host_keys: HostKeys,
    /// Where events are kept, if they are.
    pub(super) inbox: Option<Inbox>,
    /// How people who wait are told that the program is away.
    pub(super) messenger: Messenger,
    pub(super) counts: Arc<Counts>,
    pub(super) notary: Notary,
    pub(super) learned: Learned,
    /// Counts the requests in flight, for the limit and for the idle timer.
    pub(super) activity: Activity,
    pub(super) held: AtomicUsize,
    /// By this name the edge knows requests that have passed it before.
    pub(super) mark: String,
    pub(super) mark_value: HeaderValue,
}

/// Who has connected.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The peer's address.
    pub address: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The name that TLS asked for.
    pub sni: Option<Hostname>,
    /// The public port that the visitor reached.
    pub port: u16,
}

/// What the connection speaks, by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Service {
    /// A service for the names of `routes`, whose requests count in `activity`. `edge` is a random number by which this edge knows a request
    /// that comes round again. Every exchange is told to `sink`, if there is one.
    #[must_use]
    pub fn new(
        routes: Arc<dyn Routes>,
        limits: Limits,
        activity: Activity,
        edge: u64,
        tasks: Tasks,
        sink: Option<Arc<dyn ExchangeSink>>,
    ) -> Self {
        let mark = format!("irp-{edge:016x}");
        let mark_value = HeaderValue::try_from(&mark).unwrap_or(HeaderValue::from_static("irp"));
        Self(Arc::new(Shared {
            routes,
            budget: Budget::new(limits.budget),
            limits,
            tasks,
            sink,
            host_keys: HostKeys::default(),
            inbox: None,
            messenger: Messenger::default(),
            counts: Arc::default(),
            notary: Notary::new(None),
            learned: Learned::default(),
            activity,
            held: AtomicUsize::new(0),
            mark,
            mark_value,
        }))
    }

    /// The same with a page that shows these keys; before the first connection only.
    #[must_use]
    pub fn with_host_keys(mut self, host_keys: HostKeys) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.host_keys = host_keys;
        }
        self
    }

    /// The same with an inbox for events; before the first connection only.
    #[must_use]
    pub fn with_inbox(mut self, inbox: Option<Inbox>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.inbox = inbox;
        }
        self
    }

    /// The same with a place for secrets that providers tell; before the first connection only.
    #[must_use]
    pub(crate) fn with_learned(mut self, learned: Learned) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.learned = learned;
        }
        self
    }

    /// The same with a way to call providers of webhooks; before the first connection only.
    #[must_use]
    pub fn with_outside(mut self, outside: Option<Outside>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.messenger = Messenger::new(outside.clone());
            shared.notary = Notary::new(outside);
        }
        self
    }

    /// The byte budget, for what holds memory elsewhere.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// What is counted.
    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.0.counts
    }

    /// Requests that wait for a tunnel now.
    pub(crate) fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Requests in flight now, upgraded connections included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.requests()
    }

    /// Drives a connection to its end. After `shutdown` no further request is taken; those in flight finish.
    pub async fn serve_connection<IO>(
        self,
        io: IO,
        visitor: Visitor,
        protocol: Protocol,
        shutdown: CancellationToken,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = self.0;
        let lease = shared.budget.take(budget::CONNECTION_BYTES);
        let trusted = &shared.limits.trusted_proxies;
        let forwarding = Forwarding::new(visitor.address, visitor.tls, visitor.port, trusted);
        let connection = Arc::new(Connection::new(forwarding, visitor.sni, lease.is_none()));
        let half_closed = match protocol {
            Protocol::Http1 => shared.limits.half_closed,
            Protocol::Http2 => Duration::ZERO,
        };
        let io = TokioIo::new(VisitorIo::new(
            io,
            Arc::clone(&connection),
            Arc::clone(&shared.counts),
            half_closed,
        ));
        let answer = {
            let (shared, connection) = (Arc::clone(&shared), Arc::clone(&connection));
            service_fn(move |request: Request<Incoming>| {
                let (shared, connection) = (Arc::clone(&shared), Arc::clone(&connection));
                async move { Ok::<_, Infallible>(pipeline::answer(shared, connection, request).await) }
            })
        };
        let limits = &shared.limits;
        match protocol {
            Protocol::Http1 => {
                let http = http1_builder(limits).serve_connection(io, answer).with_upgrades();
                drive(http, |http| http.graceful_shutdown(), &connection, limits, shutdown).await;
            }
            Protocol::Http2 => {
                let http = http2_builder(limits, &shared.tasks).serve_connection(io, answer);
                drive(http, |http| http.graceful_shutdown(), &connection, limits, shutdown).await;
            }
        }
    }
}

impl Shared {
    /// Requests in flight now, upgraded connections included.
    pub(super) fn requests(&self) -> usize {
        usize::try_from(self.activity.seen().requests).unwrap_or(usize::MAX)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("limits", &self.limits)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // hyper's own timer cannot tell a slow request from an idle connection: `Connection` can.
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(budget::WRITE_BUFFER.max(limits.header_bytes).max(LEAST_BUFFER));
    http
}

fn http2_builder(limits: &Limits, tasks: &Tasks) -> http2::Builder<Streams> {
    let mut http = http2::Builder::new(Streams(tasks.clone()));
    http.timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(budget::WRITE_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER);
    http
}

/// Polls a connection until it ends by itself, is told to finish, or is cut.
async fn drive<C, E>(
    http: C,
    finish: impl Fn(Pin<&mut C>),
    connection: &Connection,
    limits: &Limits,
    shutdown: CancellationToken,
) where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let period = limits.stalled.min(limits.header_read).min(limits.idle) / 4;
    let period = period.clamp(Duration::from_millis(20), Duration::from_secs(5));
    let mut finishing = false;
    let mut stopped = Seldom::new(shutdown.cancelled());
    let mut look = Seldom::new(sleep(period));
    tokio::pin!(http);
    loop {
        tokio::select! {
            biased;
            ended = &mut http => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a public connection ended");
                }
                return;
            }
            () = &mut stopped, if !finishing => {
                finishing = true;
                finish(http.as_mut());
                if connection.has_only_endless() {
                    return;
                }
            }
            () = &mut look => {
                look = Seldom::new(sleep(period));
                match connection.look(limits) {
                    _ if finishing && connection.has_only_endless() => return,
                    Verdict::Keep => {}
                    Verdict::Finish if finishing => return,
                    Verdict::Finish => {
                        finishing = true;
                        finish(http.as_mut());
                    }
                    Verdict::Cut(reason) => {
                        tracing::debug!(reason, "a public connection was cut");
                        return;
                    }
                }
            }
        }
    }
}
