//! Connections to the upstream.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use irp_wire::headers::Failure;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    Place, Scheme, Upstream, socket,
    tls::{self, UpstreamTrust},
};
use crate::{
    RootsError,
    dial::{connect_any, resolve},
};

/// The upstream gave no answer: why, with a detail for the developer.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    pub failure: Failure,
    pub detail: String,
}

impl NoAnswer {
    pub(crate) fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into() }
    }
}

/// How long a place may take to accept a connection when it is only looked whether it does.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether something takes connections at this place.
pub(super) async fn is_listening(place: &Place) -> bool {
    let look = async {
        match place {
            Place::Unix(path) => socket::connect(path).await.is_ok(),
            Place::Tcp { host, port } => match resolve(host, *port).await {
                Ok(addresses) => connect_any(&addresses, LOOK_TIMEOUT).await.is_ok(),
                Err(_) => false,
            },
        }
    };
    timeout(LOOK_TIMEOUT, look).await.unwrap_or(false)
}

/// The bytes of a connection, whatever carries them.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Makes connections to one upstream.
pub(crate) struct Connector {
    upstream: Upstream,
    limit: Duration,
    http1: Option<Arc<ClientConfig>>,
    http2: Option<Arc<ClientConfig>>,
    /// Where the upstream is, whatever its name resolves to.
    at: Option<SocketAddr>,
    /// Where the edge is, so that a tunnel that ends in itself is noticed.
    edge: RwLock<Option<SocketAddr>>,
}

impl Connector {
    pub(crate) fn new(
        upstream: Upstream,
        trust: &UpstreamTrust,
        limit: Duration,
    ) -> Result<Self, RootsError> {
        let secure = upstream.scheme == Scheme::Https;
        let config = |protocol| secure.then(|| tls::config(trust, protocol)).transpose();
        Ok(Self {
            limit,
            http1: config(b"http/1.1")?,
            http2: config(b"h2")?,
            at: None,
            edge: RwLock::default(),
            upstream,
        })
    }

    /// The same at this address, whatever the name resolves to; a certificate must have the name all the same.
    pub(crate) fn at(self, address: Option<SocketAddr>) -> Self {
        Self { at: address, ..self }
    }

    /// Tells where the edge is.
    pub(crate) fn edge_is_at(&self, address: SocketAddr) {
        *self.edge.write().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// A fresh connection for HTTP/2, or else for HTTP/1.1.
    pub(crate) async fn connect(&self, http2: bool) -> Result<Box<dyn Stream>, NoAnswer> {
        let connected = timeout(self.limit, self.connect_within(http2)).await;
        connected.unwrap_or_else(|_| {
            let seconds = self.limit.as_secs_f32();
            Err(self.no_answer(Failure::TimedOut, format_args!("does not accept within {seconds} s")))
        })
    }

    async fn connect_within(&self, http2: bool) -> Result<Box<dyn Stream>, NoAnswer> {
        let (host, port) = match &self.upstream.place {
            Place::Tcp { host, port } => (host.as_str(), *port),
            Place::Unix(path) => {
                let connected = socket::connect(path).await;
                return connected
                    .map(|stream| Box::new(stream) as Box<dyn Stream>)
                    .map_err(|error| self.no_answer(Failure::Refused, error));
            }
        };
        let addresses = match self.at {
            Some(address) => vec![address],
            None => resolve(host, port).await.map_err(|error| self.no_answer(Failure::Refused, error))?,
        };
        let (tcp, peer, _) = connect_any(&addresses, self.limit).await.map_err(|failures| {
            let timed_out = failures.iter().any(|(_, error)| error.kind() == io::ErrorKind::TimedOut);
            let failure = if timed_out { Failure::TimedOut } else { Failure::Refused };
            match failures.first() {
                Some((_, error)) => self.no_answer(failure, error),
                None => self.no_answer(failure, "no address"),
            }
        })?;
        if *self.edge.read().unwrap_or_else(PoisonError::into_inner) == Some(peer) {
            return Err(self.no_answer(Failure::Loop, "is the edge itself"));
        }
        let Some(config) = (if http2 { &self.http2 } else { &self.http1 }) else {
            return Ok(Box::new(tcp));
        };
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|error| self.no_answer(Failure::Broken, error))?;
        let connected = TlsConnector::from(config.clone()).connect(name, tcp).await;
        let stream = connected.map_err(|error| self.no_answer(Failure::Broken, error))?;
        Ok(Box::new(stream))
    }

    pub(crate) fn no_answer(&self, failure: Failure, why: impl std::fmt::Display) -> NoAnswer {
        NoAnswer::new(failure, format!("{}: {why}", self.upstream))
    }
}
