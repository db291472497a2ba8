//! What the tests of certificates have in common.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use irp_edge::certs::{
    AcmeConfig, Certificates, Challenge, Clock, Dns, FileStore, HttpTokens, Keeper, Names, Status, Store,
    SystemClock, solve::DnsError,
};
use irp_testkit::{
    acme::{Pebble, PebbleOptions},
    dns::Responder,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs::default_provider, pki_types::CertificateDer,
};
use rustls_pki_types::{ServerName, pem::PemObject as _};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

/// Until then anything that is waited for has happened, or the test fails.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub(crate) struct HandClock(Arc<watch::Sender<SystemTime>>);

impl HandClock {
    pub(crate) fn at(now: SystemTime) -> Self {
        Self(Arc::new(watch::Sender::new(now)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by);
    }
}

impl Clock for HandClock {
    fn now(&self) -> SystemTime {
        *self.0.borrow()
    }

    fn sleep_until(&self, at: SystemTime) -> BoxFuture<'_, ()> {
        let mut time = self.0.subscribe();
        Box::pin(async move {
            let _ = time.wait_for(|now| *now >= at).await;
        })
    }
}

/// A zone in the responder of the testkit.
#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) responder: Arc<Responder>,
}

impl Dns for Zone {
    fn set_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        self.responder.add_txt(name, value);
        Box::pin(async { Ok(()) })
    }

    fn clear_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        self.responder.remove_txt(name, value);
        Box::pin(async { Ok(()) })
    }

    fn wait_visible<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A zone that forgets what it is told, so that every validation fails.
#[derive(Debug)]
pub(crate) struct DeadZone;

impl Dns for DeadZone {
    fn set_txt<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(async { Ok(()) })
    }

    fn clear_txt<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(async { Ok(()) })
    }

    fn wait_visible<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Pebble with a name server, and a folder for all that.
pub(crate) struct Authority {
    pub(crate) dir: TempDir,
    pub(crate) dns: Arc<Responder>,
    pub(crate) pebble: Pebble,
}

impl Authority {
    pub(crate) async fn start(options: PebbleOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dns = Arc::new(Responder::start().await.unwrap());
        let pebble =
            Pebble::start(dir.path(), &PebbleOptions { dns: Some(dns.address()), ..options }).unwrap();
        Self { dir, dns, pebble }
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(FileStore::open(&self.dir.path().join("store")).unwrap())
    }

    pub(crate) fn zone(&self) -> Challenge {
        Challenge::Dns01(Arc::new(Zone { responder: Arc::clone(&self.dns) }))
    }

    pub(crate) fn config(&self, names: &[&str], challenge: Challenge) -> AcmeConfig {
        AcmeConfig {
            directory_url: self.pebble.directory_url.clone(),
            contact: Some("edge@irp.example".to_owned()),
            extra_roots_pem: Some(std::fs::read_to_string(&self.pebble.root_pem).unwrap()),
            challenge,
            names: Names::new(names).unwrap(),
        }
    }
}

/// A keeper that runs, as in an edge.
pub(crate) struct Running {
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) certificates: Arc<Certificates>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(config: AcmeConfig, store: Arc<dyn Store>) -> Self {
        Self::start_with(config, store, Certificates::new(), Arc::new(SystemClock))
    }

    pub(crate) fn start_with(
        config: AcmeConfig,
        store: Arc<dyn Store>,
        certificates: Arc<Certificates>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let keeper = Keeper::new(config, store, Arc::clone(&certificates), clock).unwrap();
        let status = keeper.status();
        let stop = CancellationToken::new();
        let task = tokio::spawn(keeper.run(stop.clone()));
        Self { status, certificates, stop, task }
    }

    /// The first status that `wanted` accepts.
    pub(crate) async fn status(&mut self, wanted: impl Fn(&Status) -> bool) -> Status {
        let last = self.status.clone();
        match timeout(SOON, self.status.wait_for(wanted)).await {
            Ok(status) => status.unwrap().clone(),
            Err(_) => panic!("still {:?}", *last.borrow()),
        }
    }

    pub(crate) async fn ready(&mut self) -> Status {
        self.status(|status| matches!(status, Status::Ready { .. })).await
    }

    pub(crate) async fn waiting(&mut self) -> (SystemTime, String) {
        match self.status(|status| matches!(status, Status::Waiting { .. })).await {
            Status::Waiting { until, why, .. } => (until, why),
            other => panic!("{other:?}"),
        }
    }

    /// Ends the keeper as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(SOON, self.task).await.unwrap().unwrap();
    }

    /// Ends the keeper as `kill -9` does: nothing of it runs after this.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// A listener that answers with what is in `certificates`: `acme-tls/1` to who offers it, and an echo to all
/// others.
pub(crate) async fn listen_tls(address: SocketAddr, certificates: Arc<Certificates>) -> SocketAddr {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![irp_edge::certs::ACME_TLS_ALPN.to_vec(), b"echo".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    if stream.write_all(&byte).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A listener on what stands for port 80.
pub(crate) async fn listen_http(address: SocketAddr, tokens: Arc<HttpTokens>) -> SocketAddr {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let answer = match tokens.answer(path) {
                Some(body) => format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                ),
                None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// Visits `name` at `address`, trusting `roots_pem` only.
pub(crate) async fn visit(
    address: SocketAddr,
    name: &str,
    roots_pem: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots_pem.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"echo".to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Sends a byte and gets it back.
pub(crate) async fn echo(stream: &mut TlsStream<TcpStream>) {
    let mut byte = [7];
    stream.write_all(&byte).await.unwrap();
    stream.flush().await.unwrap();
    timeout(SOON, stream.read_exact(&mut byte)).await.unwrap().unwrap();
    assert_eq!(byte, [7]);
}

/// The root of the certificates that pebble issues, by its management interface.
pub(crate) async fn issuing_root(pebble: &Pebble) -> String {
    let trusted = std::fs::read_to_string(&pebble.root_pem).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(pebble.management()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(b"GET /roots/0 HTTP/1.0\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
