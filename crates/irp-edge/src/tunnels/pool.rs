//! Pools of idle HTTP/1.1 connections towards upstreams, and the forward that dials them on demand.
//!
//! A connection carries one request at a time. [`Pool::take`] gives the most recently used one, so that the
//! others age and are closed. [`Busy`] stands for a connection with a request on it: it goes back to its
//! pool when both bodies were read to their end, and is closed when the exchange was given up before.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use irp_wire::{seldom::Seldom, tasks::Tasks};
use tokio::time::{Instant, timeout};

use super::{
    SendError, Unsent,
    sshd::{ForwardAddress, ForwardStream, Nudge},
};
use crate::http::body::{Progress, RequestBody, TunnelBody};

/// How long a forward's connection may be idle before it is closed.
pub const FORWARD_UNUSED: Duration = Duration::from_secs(30);
/// How many connections a forward has at most.
pub const FORWARD_CONNECTIONS: usize = 1024;
/// How long dialling a local port or socket may take.
pub const FORWARD_DIAL: Duration = Duration::from_secs(5);
/// What hyper may buffer for one connection; its own default of about 400 KiB is too dear for many.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// Idle connections, ready for the next request.
#[derive(Debug)]
pub struct Pool {
    state: Mutex<State>,
    floor: usize,
    unused: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// The most recently used one is the last.
    idle: Vec<Idle>,
    closed: bool,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection that is taken from its pool for one request.
#[derive(Debug)]
pub struct Busy {
    sender: SendRequest<RequestBody>,
    pool: Arc<Pool>,
    upload: Option<Arc<Progress>>,
}

impl Pool {
    /// An empty pool, whose connections are closed when they were unused for `unused`, but for the `floor`
    /// most recently used ones.
    #[must_use]
    pub fn new(floor: usize, unused: Duration) -> Self {
        Self { state: Mutex::default(), floor, unused }
    }

    /// Adds an idle connection; a closed pool closes it.
    pub fn put(&self, sender: SendRequest<RequestBody>) {
        if sender.is_closed() {
            return;
        }
        let mut state = self.lock();
        if !state.closed {
            state.idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// The most recently used connection that is ready, if there is one.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Busy> {
        let mut state = self.lock();
        let mut at = state.idle.len();
        while at > 0 {
            at -= 1;
            let sender = &state.idle[at].sender;
            if sender.is_closed() {
                state.idle.remove(at);
            } else if sender.is_ready() {
                let idle = state.idle.remove(at);
                return Some(Busy::new(idle.sender, Arc::clone(self)));
            }
            // Else its task has not seen the end of the last exchange yet: it stays for the next request.
        }
        None
    }

    /// How many connections are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.lock().idle.len()
    }

    /// Closes those that were unused for too long at `now`, and forgets those that closed by themselves.
    pub fn expire(&self, now: Instant) {
        let mut state = self.lock();
        state.idle.retain(|idle| !idle.sender.is_closed());
        let above_floor = state.idle.len().saturating_sub(self.floor);
        let old = |idle: &Idle| now.saturating_duration_since(idle.since) >= self.unused;
        let expired = state.idle.iter().take(above_floor).take_while(|idle| old(idle)).count();
        state.idle.drain(..expired);
    }

    /// Closes all idle connections now, and those in use after their exchange.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.idle.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Busy {
    /// A connection that will go to `pool` after its exchange.
    #[must_use]
    pub fn new(sender: SendRequest<RequestBody>, pool: Arc<Pool>) -> Self {
        Self { sender, pool, upload: None }
    }

    /// Sends the request. Dropping the future, or the body of the response before its end, closes the
    /// connection: HTTP/1.1 has no other way to cancel.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`] with the request where the connection had closed before; otherwise
    /// [`SendError::Broken`].
    pub async fn send(mut self, request: Box<Request<RequestBody>>) -> Result<Response<TunnelBody>, Unsent> {
        self.upload = request.body().progress();
        match self.sender.try_send_request(*request).await {
            // After 101 the connection belongs to another protocol.
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Ok(response.map(TunnelBody::upgraded))
            }
            Ok(response) => Ok(response.map(|incoming| TunnelBody::lent(incoming, self))),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => SendError::Gone.with_request(Box::new(request)),
                None => Unsent { why: SendError::Broken(error.into_error()), request: None },
            }),
        }
    }

    /// The answer was read to its end. The connection can serve again unless the upload goes on.
    pub(crate) fn release(self) {
        if self.upload.is_none_or(|upload| upload.ended()) {
            self.pool.put(self.sender);
        }
    }
}

/// A forward of the machine's sshd: a local port or socket where the upstream's HTTP/1.1 comes out.
#[derive(Debug)]
pub struct Forward {
    address: ForwardAddress,
    pool: Arc<Pool>,
    open: Arc<AtomicUsize>,
    tasks: Tasks,
    /// Has somebody look whether the forward is still there.
    nudge: Option<Nudge>,
}

impl Forward {
    /// A forward that comes out at `address`. Nothing is dialled before the first request.
    #[must_use]
    pub fn new(address: ForwardAddress, tasks: Tasks) -> Arc<Self> {
        Self::watched(address, tasks, None)
    }

    /// A forward whose refusals cause a look at who listens, so that one that died is not taken for one that is
    /// there until the next look in turn.
    #[must_use]
    pub(crate) fn watched(address: ForwardAddress, tasks: Tasks, nudge: Option<Nudge>) -> Arc<Self> {
        let pool = Arc::new(Pool::new(0, FORWARD_UNUSED));
        tasks.spawn(expire_regularly(Arc::downgrade(&pool), tasks.token().clone()));
        Arc::new(Self { address, pool, open: Arc::default(), tasks, nudge })
    }

    /// Sends the request on an idle connection, or on a new one.
    ///
    /// A request without body whose method is safe is sent once more on a new connection where an idle one
    /// broke off under it: the upstream may have closed it at that very moment (RFC 9110, section 9.2.2).
    ///
    /// # Errors
    ///
    /// As [`super::Tunnel::send`].
    pub async fn send(&self, mut request: Box<Request<RequestBody>>) -> Result<Response<TunnelBody>, Unsent> {
        while let Some(busy) = self.pool.take() {
            let copy = repeatable(&request);
            match (busy.send(request).await, copy) {
                (Ok(response), _) => return Ok(response),
                (Err(Unsent { request: Some(unwritten), .. }), _) => request = unwritten,
                (Err(Unsent { why: SendError::Broken(error), .. }), Some(copy)) if broke_off(&error) => {
                    request = copy;
                    break;
                }
                (Err(unsent), _) => return Err(unsent),
            }
        }
        match self.dial().await {
            Ok(busy) => busy.send(request).await,
            Err(why) => Err(why.with_request(request)),
        }
    }

    /// Where it comes out.
    #[must_use]
    pub fn address(&self) -> &ForwardAddress {
        &self.address
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that wait for a request now.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.pool.idle()
    }

    /// Closes what is idle, and what is in use after its exchange.
    pub fn close(&self) {
        self.pool.close();
    }

    async fn dial(&self) -> Result<Busy, SendError> {
        let open = Open::enter(&self.open).ok_or(SendError::Full)?;
        match timeout(FORWARD_DIAL, self.address.connect()).await {
            Ok(Ok(stream)) => self.handshake(stream, open).await.map_err(SendError::Broken),
            Ok(Err(error)) => Err(self.dial_error(error)),
            Err(_) => Err(SendError::TimedOut { at: self.address.to_string() }),
        }
    }

    fn dial_error(&self, source: io::Error) -> SendError {
        let at = self.address.to_string();
        match source.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                if let Some(nudge) = &self.nudge {
                    nudge.look();
                }
                SendError::Refused { port: self.address.port(), at }
            }
            _ => SendError::Dial { at, source },
        }
    }

    async fn handshake(&self, stream: ForwardStream, open: Open) -> hyper::Result<Busy> {
        let (sender, connection) =
            http1::Builder::new().max_buf_size(BUFFER_BYTES).handshake(TokioIo::new(stream)).await?;
        let pool = Arc::downgrade(&self.pool);
        let stop = self.tasks.token().clone();
        self.tasks.spawn(async move {
            let _open = open;
            let connection = connection.with_upgrades();
            tokio::pin!(connection);
            let mut stopping = false;
            let mut stopped = Seldom::new(stop.cancelled());
            loop {
                tokio::select! {
                    ended = &mut connection => {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "a connection of a forward ended");
                        }
                        return;
                    }
                    // The exchange that is under way may finish; idle connections end now.
                    () = &mut stopped, if !stopping => {
                        stopping = true;
                        if let Some(pool) = pool.upgrade() { pool.close(); }
                    }
                }
            }
        });
        Ok(Busy::new(sender, Arc::clone(&self.pool)))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// One open connection of a forward; dropping it ends the count.
#[derive(Debug)]
struct Open(Arc<AtomicUsize>);

impl Open {
    fn enter(count: &Arc<AtomicUsize>) -> Option<Self> {
        let add = |open: usize| (open < FORWARD_CONNECTIONS).then_some(open + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn expire_regularly(pool: Weak<Pool>, stop: tokio_util::sync::CancellationToken) {
    let mut ticks = tokio::time::interval(FORWARD_UNUSED / 4);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            now = ticks.tick() => match pool.upgrade() {
                Some(pool) => pool.expire(now),
                None => return,
            },
        }
    }
}

/// A copy of a request that may be sent twice: a safe method, and no body.
fn repeatable(request: &Request<RequestBody>) -> Option<Box<Request<RequestBody>>> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let upgrade = request.headers().contains_key(http::header::UPGRADE);
    if !safe || upgrade || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    copy.headers_mut().clone_from(request.headers());
    Some(Box::new(copy))
}

/// Whether the connection ended before the first byte of an answer.
fn broke_off(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_reset(error)
}

fn is_reset(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|io| matches!(io.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::tunnels::sshd::UpstreamPort;

    #[tokio::test]
    async fn a_refusal_has_somebody_look_who_listens() {
        let gone = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = UpstreamPort::new(gone.local_addr().unwrap().port(), &[]).unwrap();
        drop(gone);
        let (nudge, looks) = Nudge::observed();
        let forward = Forward::watched(ForwardAddress::Tcp(port), Tasks::new(), Some(nudge));
        let unsent = forward.send(Box::new(Request::new(RequestBody::Empty))).await.unwrap_err();
        assert!(matches!(unsent.why, SendError::Refused { .. }), "{:?}", unsent.why);
        timeout(FORWARD_DIAL, looks.notified()).await.unwrap();
    }

    /// A connection for a pool, and the upstream's end of it.
    async fn connection() -> (SendRequest<RequestBody>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        tokio::spawn(connection);
        (sender, theirs)
    }

    async fn pool_of(count: usize, floor: usize) -> (Arc<Pool>, Vec<DuplexStream>) {
        let pool = Arc::new(Pool::new(floor, Duration::from_secs(60)));
        let mut upstreams = Vec::new();
        for _ in 0..count {
            let (sender, upstream) = connection().await;
            pool.put(sender);
            upstreams.push(upstream);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        (pool, upstreams)
    }

    /// Takes a connection and gets `answer` through it; says which upstream was asked.
    async fn ask(pool: &Arc<Pool>, upstreams: &mut [DuplexStream], answer: &str) -> (usize, TunnelBody) {
        let busy = pool.take().unwrap();
        let request = Box::new(Request::builder().header("host", "a").body(RequestBody::Empty).unwrap());
        let asked = async {
            let reads = upstreams.iter_mut().map(|upstream| {
                Box::pin(async move {
                    let mut head = [0; 512];
                    let length = upstream.read(&mut head).await.unwrap();
                    assert!(head[..length].ends_with(b"\r\n\r\n"));
                    upstream.write_all(answer.as_bytes()).await.unwrap();
                })
            });
            futures_util::future::select_all(reads).await.1
        };
        let (response, asked) = tokio::join!(busy.send(request), asked);
        (asked, response.unwrap().into_body())
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_recently_used_connection_comes_first() {
        let (pool, mut upstreams) = pool_of(3, 0).await;
        for _ in 0..3 {
            let (asked, body) =
                ask(&pool, &mut upstreams, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            assert_eq!(asked, 2);
            assert_eq!(pool.idle(), 2);
            assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
            assert_eq!(pool.idle(), 3);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_given_up_closes_its_connection() {
        let (pool, mut upstreams) = pool_of(1, 0).await;
        let (asked, body) =
            ask(&pool, &mut upstreams, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").await;
        drop(body);
        assert_eq!(pool.idle(), 0);
        assert_eq!(upstreams[asked].read(&mut [0; 1]).await.unwrap(), 0, "the upstream sees the end");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_nobody_needs_expire_above_the_floor() {
        let (pool, _upstreams) = pool_of(4, 2).await;
        pool.expire(Instant::now());
        assert_eq!(pool.idle(), 4);
        // The first two have waited for 62 and 61 s by now, the third for 60 s but it is the floor's.
        tokio::time::advance(Duration::from_secs(58)).await;
        pool.expire(Instant::now());
        assert_eq!(pool.idle(), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        pool.expire(Instant::now());
        assert_eq!(pool.idle(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn closed_connections_and_closed_pools_give_nothing() {
        let (pool, upstreams) = pool_of(2, 2).await;
        drop(upstreams);
        while pool.take().is_some() {
            tokio::task::yield_now().await;
        }
        let (sender, _upstream) = connection().await;
        pool.close();
        pool.put(sender);
        assert_eq!(pool.idle(), 0);
        assert!(pool.take().is_none());
    }
}
