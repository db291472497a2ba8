//! A stand-in of the edge: it takes tunnels with irp-wire's own half of the hello, and leaves the rest to
//! the test.

use std::{
    net::{Shutdown, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use irp_client::{
    ClientConfig, Event, EventSink, HostHeader, LANES_MAX, ProxySettings, Roots, RunError, STREAM_WINDOW,
    Timeouts, Upstream, UpstreamTrust, run,
};
use irp_testkit::authority::Authority;
use irp_wire::{
    CONTROL_AUTHORITY, CONTROL_PATH,
    control::{ClientMessage, Decoder, EdgeMessage, encode},
    hello::{Applicant, LaneApplicant, Opened, SessionId, SessionSecret, Terms, receive},
    key::{PublicKey, SecretKey},
    proof::{ChannelBinding, EXPORTER_LABEL},
};
use socket2::{SockRef, Socket};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

pub(crate) type AnyBody = BoxBody<Bytes, std::io::Error>;
pub(crate) const HOST: &str = "alice.localhost";
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, but not for ever.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

/// A listener that speaks TLS with an identity of an edge.
pub(crate) struct Edge {
    pub(crate) listener: TcpListener,
    pub(crate) authority: Authority,
    pub(crate) identity: SecretKey,
    pub(crate) host: String,
    pub(crate) acceptor: TlsAcceptor,
}

impl Edge {
    pub(crate) async fn start() -> Self {
        Self::with_alpn(&["irp/1"]).await
    }

    pub(crate) async fn with_alpn(alpn: &[&str]) -> Self {
        Self::named(HOST, alpn).await
    }

    pub(crate) async fn named(host: &str, alpn: &[&str]) -> Self {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::from(authority.server(&[host], alpn));
        Self {
            host: host.to_owned(),
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            identity: SecretKey::generate().unwrap(),
            acceptor,
            authority,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Accepts a connection up to the verdict of its hello.
    pub(crate) async fn accept(&self) -> (TlsStream<TcpStream>, ChannelBinding, Opened) {
        soon(Box::pin(async {
            let (tcp, _) = self.listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let mut io = self.acceptor.accept(tcp).await.unwrap();
            let binding = io.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, Some(&[])).unwrap();
            let binding = ChannelBinding(binding);
            let opened = receive(&mut io, &binding, &self.host, &self.identity).await.unwrap();
            (io, binding, opened)
        }))
        .await
    }

    pub(crate) fn binding(&self, io: &TlsStream<TcpStream>) -> ChannelBinding {
        let session = io.get_ref().1;
        ChannelBinding(session.export_keying_material([0; 32], EXPORTER_LABEL, Some(&[])).unwrap())
    }

    /// Accepts a TCP connection and its TLS, whose failure is the client's doing.
    pub(crate) async fn accept_tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        soon(async {
            let (tcp, _) = self.listener.accept().await?;
            self.acceptor.accept(tcp).await
        })
        .await
    }

    /// Accepts a whole session and opens its control stream.
    pub(crate) async fn accept_session(&self) -> Session {
        let (mut io, _, opened) = self.accept().await;
        let Opened::Control(applicant) = opened else { panic!("a lane without a session") };
        let (id, secret) = (SessionId::random(), SessionSecret::random());
        let urls = applicant.request.names.iter().map(|name| format!("https://{name}")).collect();
        let terms = Terms { urls, idle_after_s: Some(3600), agent: "stand-in".into() };
        Applicant::welcome(&mut io, id, &secret, terms).await.unwrap();
        soon(Box::pin(Session::open(io, applicant, id, secret))).await
    }

    /// Accepts a lane of `session`.
    pub(crate) async fn accept_lane(&self, session: &Session) -> Lane {
        self.accept_lane_of(session.id, &session.secret).await
    }

    pub(crate) async fn accept_lane_of(&self, id: SessionId, secret: &SessionSecret) -> Lane {
        let (mut io, binding, opened) = self.accept().await;
        let Opened::Lane(lane) = opened else { panic!("a control connection for a lane") };
        assert_eq!(lane.session, id);
        assert!(lane.is_proven(secret, &binding));
        LaneApplicant::welcome(&mut io, secret, &binding).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Lane { sender, connection }
    }
}

/// The edge's side of a session.
pub(crate) struct Session {
    pub(crate) applicant: Applicant,
    pub(crate) id: SessionId,
    pub(crate) secret: SessionSecret,
    pub(crate) sender: http2::SendRequest<AnyBody>,
    pub(crate) connection: JoinHandle<()>,
    pub(crate) to_client: mpsc::Sender<Bytes>,
    socket: Socket,
    from_client: Incoming,
    decoder: Decoder,
}

/// The edge's side of a lane.
pub(crate) struct Lane {
    pub(crate) sender: http1::SendRequest<AnyBody>,
    pub(crate) connection: JoinHandle<()>,
}

impl Session {
    async fn open(
        io: TlsStream<TcpStream>,
        applicant: Applicant,
        id: SessionId,
        secret: SessionSecret,
    ) -> Self {
        let socket = SockRef::from(io.get_ref().0).try_clone().unwrap();
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_connection_window_size((1 << 31) - 1)
            .initial_stream_window_size(1 << 20)
            .max_concurrent_reset_streams(5000)
            .handshake(TokioIo::new(io))
            .await;
        let (mut sender, connection) = handshake.unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let (to_client, lines) = mpsc::channel(16);
        let request = Request::post(format!("https://{CONTROL_AUTHORITY}{CONTROL_PATH}"));
        let request = request.body(channel_body(lines)).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let from_client = response.into_body();
        Self {
            applicant,
            id,
            secret,
            sender,
            connection,
            to_client,
            socket,
            from_client,
            decoder: Decoder::default(),
        }
    }

    /// Cuts the connection under the session.
    pub(crate) fn cut(&self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }

    pub(crate) async fn say(&self, message: &EdgeMessage) {
        self.to_client.send(encode(message)).await.unwrap();
    }

    /// The next message of the client; `None` when its stream has ended.
    pub(crate) async fn hear(&mut self) -> Option<ClientMessage> {
        soon(async {
            loop {
                if let Some(message) = self.decoder.message().unwrap() {
                    return Some(message);
                }
                let frame = self.from_client.frame().await?.ok()?;
                self.decoder.push(frame.data_ref()?);
            }
        })
        .await
    }

    pub(crate) async fn send(&self, request: Request<AnyBody>) -> Response<Incoming> {
        soon(self.sender.clone().send_request(request)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Incoming> {
        self.send(get(path)).await
    }
}

pub(crate) fn get(path: &str) -> Request<AnyBody> {
    Request::get(format!("https://{HOST}{path}")).body(nothing()).unwrap()
}

pub(crate) fn nothing() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

pub(crate) fn channel_body(mut lines: mpsc::Receiver<Bytes>) -> AnyBody {
    let frames = futures_util::stream::poll_fn(move |cx| {
        lines.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    });
    StreamBody::new(frames).boxed()
}

pub(crate) async fn bytes(response: Response<Incoming>) -> Bytes {
    soon(response.into_body().collect()).await.unwrap().to_bytes()
}

/// A running client.
pub(crate) struct Client {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<Result<(), RunError>>,
    _folder: TempDir,
}

/// What a client is started with; the folder lives as long as the client.
pub(crate) struct Setup {
    pub(crate) config: ClientConfig,
    pub(crate) folder: TempDir,
}

impl Setup {
    pub(crate) fn new(edge: &Edge, upstream: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = ClientConfig {
            host: HOST.parse().unwrap(),
            port: edge.address().port(),
            connect_to: Some(edge.address()),
            carrier: None,
            names: vec![HOST.parse().unwrap()],
            signer: Arc::new(SecretKey::generate().unwrap()),
            roots: Roots::Only(edge.authority.pem_file().to_owned()),
            known_edges: folder.path().join("known_edges"),
            upstream: upstream.parse::<Upstream>().unwrap(),
            upstream_trust: UpstreamTrust::System,
            host_header: HostHeader::default(),
            lanes_max: LANES_MAX,
            stream_window: STREAM_WINDOW,
            timeouts: Timeouts::default(),
            policies: None,
            proxy: ProxySettings::default(),
            agent: "irp/test".into(),
        };
        Self { config, folder }
    }

    pub(crate) fn known_edges(&self) -> PathBuf {
        self.config.known_edges.clone()
    }

    pub(crate) fn know(&self, port: u16, identity: &PublicKey) {
        std::fs::write(self.known_edges(), format!("[{HOST}]:{port} {identity}\n")).unwrap();
    }

    pub(crate) fn start(self) -> Client {
        let (sink, events) = EventSink::channel();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(self.config, sink, shutdown.clone()));
        Client { events, shutdown, running, _folder: self.folder }
    }
}

impl Client {
    /// Waits for an event that `wanted` picks; others are passed over.
    pub(crate) async fn event<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        soon(async {
            loop {
                let event = self.events.recv().await.expect("the client ended");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        })
        .await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> Result<(), RunError> {
        soon(self.running).await.unwrap()
    }
}

/// A client with its first session.
pub(crate) async fn connected(upstream: &str) -> (Edge, Client, Session) {
    let edge = Edge::start().await;
    let client = Setup::new(&edge, upstream).start();
    let session = edge.accept_session().await;
    (edge, client, session)
}
