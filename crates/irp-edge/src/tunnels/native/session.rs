//! A session: what one proven client holds, and how requests reach it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use hyper::client::conn::http2::SendRequest;
use irp_wire::{
    control::{self, EdgeMessage, GoodbyeReason},
    headers::CONTINUE,
    hello::{Applicant, CAPABILITY_UPGRADE, SessionId, SessionSecret},
    key::PublicKey,
    name::Hostname,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    absolute::into_absolute,
    asking::Asking,
    lanes::{FLOOR, IDLE_MAX, Lanes},
    upgrade,
};
use crate::{
    http::{
        body::{RequestBody, TunnelBody},
        webhook::Policies,
    },
    tunnels::{SendError, Unsent, pool::Pool},
};

/// How many requests may be under way on the HTTP/2 connection of a session; the client allows more, so
/// that none waits unseen inside HTTP/2.
pub const STREAMS_MAX: usize = 4096;

/// How much of an answer HTTP/2 may send before the visitor has taken it, in bytes. A thousand stalled
/// downloads hold so much each; on a long line one download gets no more than this per round trip, which is
/// why lanes carry most of them.
pub const STREAM_WINDOW: u32 = 128 * 1024;

/// The window of the whole HTTP/2 connection: out of reach, or a few stalled downloads would hold all of it
/// and freeze the others.
pub(super) const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// How often the HTTP/2 connection is tried, and how long an answer may take: together less than the 15
/// seconds within which a dead peer must be noticed.
pub(super) const PING_EVERY: Duration = Duration::from_secs(5);
/// See [`PING_EVERY`].
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(8);

/// How many control messages may wait for a slow client; more are dropped, none is needed for correctness.
pub(super) const MESSAGES_MAX: usize = 256;

/// How a session is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most lanes of one session; the client may want fewer. 0 is HTTP/2 only.
    pub lanes_max: u16,
    /// The stream window, in bytes; see [`STREAM_WINDOW`].
    pub stream_window: u32,
    /// How long requests may go on after a goodbye.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lanes_max: super::lanes::CEILING,
            stream_window: STREAM_WINDOW,
            drain: Duration::from_secs(10),
        }
    }
}

/// The edge's hold on one client.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    secret: SessionSecret,
    key: PublicKey,
    names: Vec<Hostname>,
    instance: u64,
    policies: Option<Arc<Policies>>,
    upgrades: bool,
    http2: SendRequest<RequestBody>,
    streams: Arc<AtomicUsize>,
    pub(super) lanes: Lanes,
    pub(super) idle_lanes: Arc<Pool>,
    to_client: mpsc::Sender<Bytes>,
    pub(super) asking: Asking,
    over: CancellationToken,
}

impl Session {
    #[expect(clippy::too_many_arguments, reason = "each is made elsewhere, and they meet here alone")]
    pub(super) fn new(
        applicant: Applicant,
        secret: SessionSecret,
        id: SessionId,
        http2: SendRequest<RequestBody>,
        to_client: mpsc::Sender<Bytes>,
        settings: Settings,
        policies: Option<Arc<Policies>>,
        over: CancellationToken,
    ) -> Self {
        let lanes_max = settings.lanes_max.min(applicant.request.lanes_max);
        Self {
            id,
            secret,
            key: applicant.key,
            names: applicant.request.names,
            instance: applicant.request.instance,
            policies,
            upgrades: applicant.capabilities.iter().any(|known| known == CAPABILITY_UPGRADE),
            http2,
            streams: Arc::default(),
            lanes: Lanes::new(lanes_max),
            idle_lanes: Arc::new(Pool::new(FLOOR, IDLE_MAX)),
            to_client,
            asking: Asking::default(),
            over,
        }
    }

    /// The session's number.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The key that holds the session.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The names that the session claims.
    #[must_use]
    pub fn names(&self) -> &[Hostname] {
        &self.names
    }

    /// What the client wants the edge to do with requests for its names.
    #[must_use]
    pub fn policies(&self) -> Option<&Arc<Policies>> {
        self.policies.as_ref()
    }

    /// The random number of the client's process.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.instance
    }

    pub(super) fn secret(&self) -> &SessionSecret {
        &self.secret
    }

    /// Cancelled when the session is over.
    #[must_use]
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Tells the client something. A message that finds no room is dropped: the client is slow, and nothing
    /// depends on it.
    pub fn tell(&self, message: &EdgeMessage) {
        let _ = self.to_client.try_send(control::encode(message));
    }

    /// Says goodbye, and ends the session when the client has gone or `drain` has passed.
    pub async fn goodbye(&self, reason: GoodbyeReason, text: &str, drain: Duration) {
        self.tell(&EdgeMessage::Goodbye { reason, text: text.to_owned() });
        let _ = tokio::time::timeout(drain, self.over.cancelled()).await;
        self.over.cancel();
    }

    /// Sends a request to the client, on a lane if one is idle, else over HTTP/2.
    ///
    /// The request is as [`crate::tunnels::Tunnel::send`] describes it.
    ///
    /// # Errors
    ///
    /// When the tunnel has no answer; the request comes back if no byte of it was written.
    pub async fn send(&self, request: Box<Request<RequestBody>>) -> Result<Response<TunnelBody>, Unsent> {
        if let Some(protocol) = upgrade::wanted(request.headers()) {
            if !self.upgrades {
                return Err(SendError::Unsuited("the client cannot upgrade").with_request(request));
            }
            let request = upgrade::to_extended_connect(request, &protocol)?;
            return self.send_http2(request).await.map(upgrade::from_extended_connect);
        }
        let mut request = request;
        if !is_grpc(request.headers()) {
            while let Some(lane) = self.idle_lanes.take() {
                match lane.send(request).await {
                    // The lane was closing; nothing of the request has left.
                    Err(Unsent { request: Some(unwritten), .. }) => request = unwritten,
                    result => return result,
                }
            }
            if self.lanes.want_more(Instant::now()) {
                self.tell(&EdgeMessage::OpenLanes { count: 1 });
            }
        }
        self.send_http2(into_absolute(request)?).await
    }

    async fn send_http2(
        &self,
        mut request: Box<Request<RequestBody>>,
    ) -> Result<Response<TunnelBody>, Unsent> {
        let Some(stream) = Stream::enter(&self.streams) else {
            return Err(SendError::Full.with_request(request));
        };
        let _asking = self.asking.enter(&mut request);
        // Cloning is an atomic increment; the sender of HTTP/2 is made for it.
        let mut http2 = self.http2.clone();
        match http2.try_send_request(*request).await {
            Ok(response) => Ok(response.map(|body| TunnelBody::streamed(body, stream))),
            Err(mut failed) => Err(match failed.take_message() {
                Some(mut request) => {
                    // The number was for this connection.
                    request.headers_mut().remove(CONTINUE);
                    SendError::Gone.with_request(Box::new(request))
                }
                None => Unsent { why: SendError::Broken(failed.into_error()), request: None },
            }),
        }
    }
}

/// gRPC needs HTTP/2 as far as the upstream, with trailers and both directions at once.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// One request on the HTTP/2 connection, counted while it lasts.
#[derive(Debug)]
pub struct Stream(Arc<AtomicUsize>);

impl Stream {
    fn enter(count: &Arc<AtomicUsize>) -> Option<Self> {
        let stream = (count.fetch_add(1, Ordering::Relaxed) < STREAMS_MAX).then(|| Self(Arc::clone(count)));
        if stream.is_none() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        stream
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
