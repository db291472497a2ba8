//! Connections to the upstream that wait for the next request.
//!
//! HTTP/1.1 connections are taken last in, first out, so that few stay warm and the rest grow old and go.
//! HTTP/2 needs one connection for all.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use irp_wire::{headers::Failure, tasks::Tasks};
use tokio::time::Instant;

use super::{
    body::RequestBody,
    connect::{Connector, NoAnswer},
};

/// How long an idle connection is kept. Many servers close after 30 to 75 s; Node's five are noticed by the
/// connection itself, which is watched while it waits.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// How many idle connections are kept.
const KEPT_MAX: usize = 256;

/// What a connection may read ahead, in bytes, and the longest head of an answer. hyper's own limit of
/// 400 KiB would cost a thousand stalled downloads 400 MB.
const BUFFER: usize = 64 * 1024;

/// The connections to one upstream; clones share them.
#[derive(Clone)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Connector,
    tasks: Tasks,
    idle: Mutex<VecDeque<Idle>>,
    /// The HTTP/2 connection. Its lock is held while it is being dialled: who waits for the lock, waits for
    /// that very connection.
    shared: tokio::sync::Mutex<Option<http2::SendRequest<RequestBody>>>,
}

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// An HTTP/1.1 connection in use; dropped before [`Self::keep`], it is closed.
pub(crate) struct Lease {
    sender: http1::SendRequest<RequestBody>,
    pool: Pool,
}

impl Pool {
    pub(crate) fn new(connector: Connector, tasks: Tasks) -> Self {
        let inner = Inner { connector, tasks, idle: Mutex::default(), shared: tokio::sync::Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.inner.connector
    }

    /// Sends over HTTP/1.1. A request that was never written is sent once more on a fresh connection.
    pub(crate) async fn send(
        &self,
        mut request: Box<Request<RequestBody>>,
    ) -> Result<(Response<Incoming>, Lease), NoAnswer> {
        while let Some(mut lease) = self.take() {
            match lease.sender.try_send_request(*request).await {
                Ok(response) => return Ok((response, lease)),
                Err(mut error) => match error.take_message() {
                    Some(again) => *request = again,
                    None => return Err(self.broken(&error.into_error())),
                },
            }
        }
        // Boxed, since most requests find a connection.
        let mut lease = Box::pin(self.dial()).await?;
        match lease.sender.try_send_request(*request).await {
            Ok(response) => Ok((response, lease)),
            Err(error) => Err(self.broken(&error.into_error())),
        }
    }

    /// Sends over the shared HTTP/2 connection.
    pub(crate) async fn send_http2(
        &self,
        request: Box<Request<RequestBody>>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let sent = self.sender_http2().await?.try_send_request(*request).await;
        let error: TrySendError<_> = match sent {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let mut error = error;
        let Some(again) = error.take_message() else {
            return Err(self.broken(&error.into_error()));
        };
        self.forget_http2().await;
        let sent = self.sender_http2().await?.try_send_request(again).await;
        sent.map_err(|error| self.broken(&error.into_error()))
    }

    fn take(&self) -> Option<Lease> {
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.front().is_some_and(|old| old.since.elapsed() > IDLE_MAX || old.sender.is_closed()) {
            idle.pop_front();
        }
        // A connection that came back a moment ago may still be busy with its end: leave it there.
        let at = idle.iter().rposition(|idle| idle.sender.is_ready() && !idle.sender.is_closed())?;
        let sender = idle.remove(at)?.sender;
        Some(Lease { sender, pool: self.clone() })
    }

    async fn dial(&self) -> Result<Lease, NoAnswer> {
        let io = TokioIo::new(self.inner.connector.connect(false).await?);
        let handshake = http1::Builder::new().max_buf_size(BUFFER).handshake(io).await;
        let (sender, connection) = handshake.map_err(|error| self.broken(&error))?;
        self.inner.tasks.spawn(async move {
            // How it ended is told by the request that was under way.
            let _ = connection.with_upgrades().await;
        });
        Ok(Lease { sender, pool: self.clone() })
    }

    async fn sender_http2(&self) -> Result<http2::SendRequest<RequestBody>, NoAnswer> {
        let mut shared = self.inner.shared.lock().await;
        if let Some(sender) = shared.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let io = TokioIo::new(self.inner.connector.connect(true).await?);
        let handshake = http2::Builder::new(self.inner.tasks.clone())
            .timer(TokioTimer::new())
            // A slow visitor must not stop the others: see the windows of the tunnel itself.
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .keep_alive_interval(KEEP_ALIVE)
            .max_local_error_reset_streams(RESETS_MAX)
            .handshake(io)
            .await;
        let (sender, connection) = handshake.map_err(|error| self.broken(&error))?;
        self.inner.tasks.spawn(async move {
            let _ = connection.await;
        });
        *shared = Some(sender.clone());
        Ok(sender)
    }

    async fn forget_http2(&self) {
        *self.inner.shared.lock().await = None;
    }

    fn broken(&self, error: &hyper::Error) -> NoAnswer {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        self.inner.connector.no_answer(Failure::Broken, format_args!("{error}{cause}"))
    }
}

/// Nearly all that HTTP/2 allows: the sum of all stream windows must never reach it.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// What one answer may have under way from an upstream over HTTP/2, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// An upstream that vanished without a word is noticed after this time and hyper's 20 s.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How many streams may be reset here before the connection counts as attacked. The upstream is trusted.
const RESETS_MAX: usize = 100_000;

impl Lease {
    /// Gives the connection back, its answer having been read to the end.
    pub(crate) fn keep(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= KEPT_MAX {
            idle.pop_front();
        }
        idle.push_back(Idle { sender: self.sender, since: Instant::now() });
    }
}
