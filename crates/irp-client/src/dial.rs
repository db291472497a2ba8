//! From a name to a TLS 1.3 connection with the edge, ready for the hello.

mod addresses;
pub(crate) mod link;
pub(crate) mod proxy;
pub(crate) mod tls;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use irp_wire::{
    ALPN,
    causes::in_full,
    hello::HelloError,
    name::Hostname,
    proof::{ChannelBinding, EXPORTER_LABEL},
    tasks::Tasks,
};
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) use self::addresses::{connect_any, resolve};
use self::{
    link::Link,
    proxy::{Proxy, ProxyRefusal},
    tls::{EdgeTls, Interception},
};
use crate::{
    ClientConfig, EdgeCertificate, Event, EventSink, Roots, RootsError,
    backoff::Fault,
    config::Timeouts,
    known_edges::KnownEdgesError,
    pipe::{Carrier, CarrierError, Opening, Pipe},
};

/// How long a name may take to resolve before the address of last time is taken instead.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a [`Carrier`] may take to prepare its program: it makes calls to AWS, which repeat what is throttled.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(45);

/// Why there is no connection with the edge.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name does not resolve.
    #[error("cannot find the address of {host}")]
    Resolve {
        /// The edge's or the proxy's name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// No address accepts a connection.
    #[error("cannot reach {host}: {tried}")]
    Connect {
        /// The edge's or the proxy's name.
        host: String,
        /// Each address with its reason.
        tried: String,
    },
    /// The proxy does not let us through.
    #[error("the proxy {proxy} does not connect to {target}")]
    Proxy {
        /// The proxy, without its password.
        proxy: String,
        /// What was asked for.
        target: String,
        /// Why.
        source: ProxyRefusal,
    },
    /// The program that is to carry the connection cannot.
    #[error(transparent)]
    Carrier(#[from] CarrierError),
    /// The connection broke, or stayed silent, before it was ready.
    #[error("the connection to {host} broke in the TLS handshake")]
    Handshake {
        /// The edge's name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody between here and the edge takes part in TLS.
    #[error(transparent)]
    Intercepted(#[from] Interception),
    /// The hello failed, or the edge refused.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The edge is not the one that is known.
    #[error(transparent)]
    Identity(#[from] KnownEdgesError),
}

impl DialError {
    /// What the next wait depends on.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Handshake { .. } => Fault::Network,
            Self::Hello(HelloError::Io(_)) => Fault::Network,
            _ => Fault::Peer,
        }
    }

    /// Whether it is of the way that the bytes took, so that another way may be better.
    fn is_of_the_way(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Proxy { .. } => true,
            Self::Handshake { .. } | Self::Intercepted(_) => true,
            Self::Carrier(_) | Self::Hello(_) | Self::Identity(_) => false,
        }
    }

    /// Whether another attempt is pointless. `connected_before` makes some errors passing: a laptop that
    /// moved into a hotel network meets its login page, and an agent may be locked for a while.
    pub(crate) fn is_final(&self, connected_before: bool) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Handshake { .. } => false,
            Self::Proxy { source, .. } => source.needs_a_person() && !connected_before,
            Self::Intercepted(_) => !connected_before,
            Self::Carrier(error) => error.is_lasting() && !connected_before,
            Self::Identity(_) => true,
            Self::Hello(error) => match error {
                HelloError::Io(_) => false,
                HelloError::Refused(refusal) => !refusal.is_passing(),
                HelloError::Frame(_) | HelloError::Sign(_) => !connected_before,
                _ => true,
            },
        }
    }
}

/// A TLS connection with the edge.
pub(crate) struct Dialled {
    pub io: TlsStream<Link>,
    pub binding: ChannelBinding,
    /// The edge's address, or the proxy's; none behind a program.
    pub peer: Option<SocketAddr>,
    /// One round trip, where a TCP handshake of our own measured it.
    pub rtt: Option<Duration>,
    pub via: String,
}

impl Dialled {
    /// How many lanes a session over it may have. Through a program, each would be a session of AWS with a program of
    /// its own, and take seconds to come.
    pub(crate) fn lanes_max(&self, wanted: u16) -> u16 {
        if self.peer.is_some() { wanted } else { 0 }
    }

    /// What the edge presented, also where the handshake resumed an earlier session.
    pub(crate) fn certificate(&self) -> Option<EdgeCertificate> {
        tls::read_certificate(self.io.get_ref().1.peer_certificates()?.first()?)
    }
}

/// Which edge is dialled, and how.
pub(crate) struct Destination {
    pub host: Hostname,
    pub port: u16,
    pub connect_to: Option<SocketAddr>,
    /// Not used where an address is given.
    pub proxy: Option<Proxy>,
    pub carrier: Option<Arc<dyn Carrier>>,
    pub timeouts: Timeouts,
}

/// Dials one edge, again and again.
pub(crate) struct Dialer {
    host: Hostname,
    port: u16,
    connect_to: Option<SocketAddr>,
    proxy: Option<Proxy>,
    carrier: Option<Arc<dyn Carrier>>,
    /// Owns the programs that carry connections.
    tasks: Tasks,
    tls: EdgeTls,
    timeouts: Timeouts,
    events: EventSink,
    /// What the name resolved to last time: name servers are often the last to come back with a network.
    last: Mutex<Vec<SocketAddr>>,
}

impl Dialer {
    pub(crate) fn new(config: &ClientConfig, events: EventSink, tasks: Tasks) -> Result<Self, RootsError> {
        let destination = Destination {
            host: config.host.clone(),
            port: config.port,
            connect_to: config.connect_to,
            proxy: config.proxy.for_host(&config.host, config.port).cloned(),
            carrier: config.carrier.clone(),
            timeouts: config.timeouts,
        };
        Self::to(destination, &config.roots, events, tasks)
    }

    pub(crate) fn to(
        destination: Destination,
        roots: &Roots,
        events: EventSink,
        tasks: Tasks,
    ) -> Result<Self, RootsError> {
        let Destination { host, port, connect_to, proxy, carrier, timeouts } = destination;
        let proxy = proxy.filter(|_| connect_to.is_none());
        let tls = EdgeTls::new(roots)?;
        let last = Mutex::default();
        Ok(Self { host, port, connect_to, proxy, carrier, tasks, tls, timeouts, events, last })
    }

    pub(crate) fn target(&self) -> String {
        if let Some(carrier) = self.carrier.as_ref().filter(|carrier| !carrier.is_second()) {
            return format!("{} through {}", self.host, carrier.way());
        }
        match (&self.proxy, self.connect_to) {
            (Some(proxy), _) => format!("{}:{} through {proxy}", self.host, self.port),
            (None, Some(address)) => format!("{}:{} at {address}", self.host, self.port),
            (None, None) => format!("{}:{}", self.host, self.port),
        }
    }

    /// Dials for a new session.
    pub(crate) async fn dial(&self) -> Result<Dialled, DialError> {
        let Some(carrier) = &self.carrier else { return self.dial_socket().await };
        if carrier.is_second() {
            match self.dial_socket().await {
                Err(error) if error.is_of_the_way() => {
                    self.events.tell(Event::OtherWay { why: in_full(&error), next: carrier.way() });
                }
                dialled => return dialled,
            }
        }
        self.dial_through(carrier.as_ref()).await
    }

    async fn dial_socket(&self) -> Result<Dialled, DialError> {
        let addresses = self.addresses().await?;
        self.dial_at(addresses).await
    }

    /// Dials for a lane, at the address where its session is.
    pub(crate) async fn dial_again(&self, peer: Option<SocketAddr>) -> Result<Dialled, DialError> {
        match peer {
            Some(peer) => self.dial_at(vec![peer]).await,
            None => self.dial().await,
        }
    }

    async fn dial_at(&self, addresses: Vec<SocketAddr>) -> Result<Dialled, DialError> {
        let next_hop = self.proxy.as_ref().map_or(self.host.as_str(), Proxy::host);
        let connected = connect_any(&addresses, self.timeouts.edge_connect).await;
        let (mut tcp, peer, rtt) = connected.map_err(|failures| DialError::Connect {
            host: next_hop.to_owned(),
            tried: failures.iter().map(|(at, why)| format!("{at}: {why}")).collect::<Vec<_>>().join("; "),
        })?;
        addresses::tune(&tcp);
        let mut via = format!("direct {peer}");
        if let Some(proxy) = &self.proxy {
            let target = format!("{}:{}", self.host, self.port);
            let asked = timeout(self.timeouts.edge_handshake, proxy.connect(&mut tcp, &target)).await;
            asked.unwrap_or(Err(ProxyRefusal::Silent)).map_err(|source| DialError::Proxy {
                proxy: proxy.to_string(),
                target,
                source,
            })?;
            via = format!("proxy {proxy}");
        }
        let (io, binding) = self.handshake(Link::Tcp(tcp), self.timeouts.edge_handshake).await?;
        Ok(Dialled { io, binding, peer: Some(peer), rtt: Some(rtt), via })
    }

    /// Dials through a program of its own for this connection.
    async fn dial_through(&self, carrier: &dyn Carrier) -> Result<Dialled, DialError> {
        let via = carrier.way();
        let carried = timeout(PREPARE_TIMEOUT, carrier.prepare()).await;
        let carried = carried.unwrap_or_else(|_| {
            Err(CarrierError::passing(format!("{via}: nothing within {} s", PREPARE_TIMEOUT.as_secs())))
        })?;
        let pipe = Pipe::start(carried, Opening::Tls, &self.tasks).map_err(|error| {
            CarrierError::lasting(format!("the program for {via} cannot be started")).because(error)
        })?;
        let (io, binding) =
            self.handshake(Link::Pipe(Box::new(pipe)), self.timeouts.carried_handshake).await?;
        Ok(Dialled { io, binding, peer: None, rtt: None, via })
    }

    async fn handshake(
        &self,
        link: Link,
        limit: Duration,
    ) -> Result<(TlsStream<Link>, ChannelBinding), DialError> {
        let host = self.host.to_string();
        let name = ServerName::try_from(host.clone()).map_err(|error| DialError::Handshake {
            host: host.clone(),
            source: io::Error::new(io::ErrorKind::InvalidInput, error),
        })?;
        let connector = TlsConnector::from(self.tls.config());
        let done = timeout(limit, connector.connect(name, link)).await;
        let done = done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let io = done.map_err(|error| match self.tls.interception(&host, &error) {
            Some(interception) => interception.into(),
            None => DialError::Handshake { host: host.clone(), source: error },
        })?;
        let (_, session) = io.get_ref();
        if session.alpn_protocol() != Some(ALPN) {
            return Err(Interception::protocol_lost(&host).into());
        }
        let exported = session.export_keying_material([0; 32], EXPORTER_LABEL, Some(&[]));
        let exported = exported
            .map_err(|error| DialError::Handshake { host, source: io::Error::other(error.to_string()) })?;
        Ok((io, ChannelBinding(exported)))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, DialError> {
        if let Some(address) = self.connect_to {
            return Ok(vec![address]);
        }
        let (host, port) =
            self.proxy.as_ref().map_or((self.host.as_str(), self.port), |proxy| (proxy.host(), proxy.port()));
        let found = timeout(RESOLVE_TIMEOUT, resolve(host, port)).await;
        let found = found.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the name servers do not answer"))
        });
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(found) => {
                last.clone_from(&found);
                Ok(found)
            }
            Err(_) if !last.is_empty() => Ok(last.clone()),
            Err(source) => Err(DialError::Resolve { host: host.to_owned(), source }),
        }
    }
}
