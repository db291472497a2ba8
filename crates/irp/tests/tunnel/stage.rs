//! The stage of these tests: an edge with its local authority, clients, and the visitors' way in.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use irp_client::{
    ClientConfig, Event, EventSink, HostHeader, ProxySettings, Roots, RunError, Timeouts, UpstreamTrust,
};
use irp_edge::{
    Edge, Ended,
    certs::{Certificates, LocalCa, Names},
    config::{CertificateSource, DRAIN, EdgeConfig, Host, Machine, SshWay},
    http::{Limits, access::Access, webhook::Policies},
    idle::IdleAfter,
    inbox,
    keys::{Grant, Keys},
    power::Power,
    tunnels::native::Settings,
};
use irp_testkit::{
    port,
    visitor::{Curl, Door},
};
use irp_wire::{key::SecretKey, name::Hostname};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// The name that tests use.
pub(crate) const NAME: &str = "alice.localhost";

/// How long anything may take on a shared machine before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An edge that runs.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) key: Arc<SecretKey>,
    ca: PathBuf,
    shutdown: CancellationToken,
    edge: JoinHandle<Ended>,
    runtime: OwnRuntime,
}

/// What differs between stages.
pub(crate) struct Options {
    pub(crate) limits: Limits,
    pub(crate) sessions: Settings,
    pub(crate) idle_after: IdleAfter,
    pub(crate) access: Access,
    pub(crate) policies: Option<Policies>,
    pub(crate) ssh: Option<SshWay>,
    pub(crate) machine: Machine,
    pub(crate) drain: Duration,
    /// Keys beside that of the stage, with the names they may claim.
    pub(crate) others: Vec<Grant>,
    /// The port of an edge that was here before.
    pub(crate) port: u16,
    /// The folder of an edge that was here before.
    pub(crate) folder: Option<TempDir>,
    pub(crate) key: Option<Arc<SecretKey>>,
    pub(crate) inbox: Option<inbox::Settings>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            sessions: Settings::default(),
            idle_after: IdleAfter::NEVER,
            access: Access::default(),
            policies: None,
            ssh: None,
            machine: Machine::default(),
            drain: DRAIN,
            others: Vec::new(),
            port: 0,
            folder: None,
            key: None,
            inbox: Some(inbox::Settings::default()),
        }
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let folder = options.folder.unwrap_or_else(|| TempDir::new().unwrap());
        let ca = LocalCa::open_or_create(folder.path(), std::time::SystemTime::now()).unwrap();
        let ca_path = ca.path().to_owned();
        let key = options.key.unwrap_or_else(|| Arc::new(SecretKey::generate().unwrap()));
        let names = vec![NAME.parse().unwrap(), "*.alice.localhost".parse().unwrap()];
        let mut grants = vec![Grant { key: key.public_key(), names, comment: "alice@laptop".into() }];
        grants.extend(options.others);
        let name: Hostname = NAME.parse().unwrap();
        // One that nobody takes while the edge is away.
        let port = if options.port == 0 { port::unused().unwrap() } else { options.port };
        let aliases = ["localhost", "127.0.0.1", "[::1]"].map(String::from).to_vec();
        let config = EdgeConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], port))],
            http_listen: Vec::new(),
            metrics_listen: None,
            public_port: None,
            hosts: vec![Host { name, aliases, access: options.access, policies: options.policies }],
            keys: Keys::new(grants),
            certificates: CertificateSource::Local {
                ca,
                names: Names::new([NAME, "*.alice.localhost"]).unwrap(),
            },
            state: folder.path().join("state"),
            limits: options.limits,
            sessions: options.sessions,
            ssh: options.ssh,
            inbox: options.inbox,
            idle_after: options.idle_after,
            power: Power::Exit,
            drain: options.drain,
        };
        let runtime = OwnRuntime::new();
        let binding = runtime.spawn(Edge::bind_on(config, Certificates::new(), options.machine));
        let edge = binding.await.unwrap().unwrap();
        let address = edge.addresses()[0];
        let shutdown = CancellationToken::new();
        let edge = runtime.spawn({
            let shutdown = shutdown.clone();
            async move { edge.run(shutdown).await.unwrap() }
        });
        Self { folder, address, key, ca: ca_path, shutdown, edge, runtime }
    }

    /// What a client of this stage's key needs to serve `upstream` under [`NAME`].
    pub(crate) fn config(&self, upstream: &str) -> ClientConfig {
        ClientConfig {
            host: NAME.parse().unwrap(),
            port: self.address.port(),
            connect_to: Some(self.address),
            carrier: None,
            names: vec![NAME.parse().unwrap()],
            signer: Arc::clone(&self.key) as _,
            roots: Roots::Only(self.ca.clone()),
            known_edges: self.folder.path().join("known_edges"),
            upstream: upstream.parse().unwrap(),
            upstream_trust: UpstreamTrust::default(),
            host_header: HostHeader::default(),
            lanes_max: irp_client::LANES_MAX,
            stream_window: irp_client::STREAM_WINDOW,
            timeouts: Timeouts::default(),
            proxy: ProxySettings::default(),
            policies: None,
            agent: "test".into(),
        }
    }

    /// A client of this stage that is connected.
    pub(crate) async fn client(&self, upstream: &str) -> Client {
        let mut client = Client::start(self.config(upstream));
        client.connected().await;
        client
    }

    /// The visitors' way in, under [`NAME`].
    pub(crate) fn door(&self) -> Door {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca).unwrap()).unwrap();
        Door::tls(self.address, NAME, Arc::new(roots))
    }

    /// curl, trusting this stage's authority.
    pub(crate) fn curl(&self) -> Curl {
        Curl::new().trusting(&self.ca).resolving(NAME, self.address)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.address.port())
    }

    /// Asks the edge to stop, and waits until it has.
    pub(crate) async fn stop(self) -> (Ended, TempDir) {
        self.shutdown.cancel();
        (timeout(PATIENCE, self.edge).await.unwrap().unwrap(), self.folder)
    }

    /// What tells the edge to stop, for tests that look on while it does.
    pub(crate) fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Ends the edge in the middle of everything: all its sockets close, and nobody is told why.
    pub(crate) async fn kill(self) -> Options {
        let (key, port) = (Some(self.key), self.address.port());
        self.runtime.end().await;
        Options { key, port, folder: Some(self.folder), ..Options::default() }
    }

    /// As [`Self::stop`]; the answer starts an edge in its place.
    pub(crate) async fn retire(self) -> Options {
        let (key, port) = (Some(Arc::clone(&self.key)), self.address.port());
        let (_, folder) = self.stop().await;
        Options { key, port, folder: Some(folder), ..Options::default() }
    }

    /// Waits until the edge has ended by itself.
    pub(crate) async fn ended(self) -> Ended {
        timeout(PATIENCE, self.edge).await.unwrap().unwrap()
    }
}

/// A runtime of one end alone: when it ends, all that this end ever spawned ends with it, as with a process.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self(Some(builder.worker_threads(2).enable_all().build().unwrap()))
    }

    fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.as_ref().unwrap().spawn(future)
    }

    /// Ends it, and waits until every task is dropped.
    async fn end(mut self) {
        let runtime = self.0.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client that runs.
pub(crate) struct Client {
    /// Read all the time, since the client drops events that nobody reads.
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    shutdown: CancellationToken,
    run: JoinHandle<Result<(), RunError>>,
    runtime: OwnRuntime,
}

impl Client {
    pub(crate) fn start(config: ClientConfig) -> Self {
        let (sink, mut fresh) = EventSink::channel();
        let (kept, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = fresh.recv().await {
                let _ = kept.send(event);
            }
        });
        let shutdown = CancellationToken::new();
        let runtime = OwnRuntime::new();
        let run = runtime.spawn(irp_client::run(config, sink, shutdown.clone()));
        Self { events, shutdown, run, runtime }
    }

    /// Waits for the first event that `want` takes.
    pub(crate) async fn event<T>(&mut self, what: &str, mut want: impl FnMut(&Event) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let found = timeout(PATIENCE, async {
            while let Some(event) = self.events.recv().await {
                if let Some(found) = want(&event) {
                    return Some(found);
                }
                seen.push(event);
            }
            None
        });
        match found.await {
            Ok(Some(found)) => found,
            _ => panic!("no event: {what}; there were {seen:#?}"),
        }
    }

    pub(crate) async fn connected(&mut self) -> Vec<String> {
        let connected = |event: &Event| match event {
            Event::Connected { urls, .. } => Some(urls.clone()),
            _ => None,
        };
        self.event("connected", connected).await
    }

    /// Waits until a tunnel that stood is gone, or is being replaced: to a client, a machine that stood still for
    /// seconds has slept, and then it does not wait for the old connection's end.
    pub(crate) async fn lost(&mut self) -> String {
        let lost = |event: &Event| match event {
            Event::Lost { why, .. } => Some(why.clone()),
            Event::Renewing { why } => Some((*why).to_owned()),
            _ => None,
        };
        self.event("lost", lost).await
    }

    /// Asks the client to leave, and waits until it has.
    pub(crate) async fn stop(self) -> Result<(), RunError> {
        self.shutdown.cancel();
        self.ended().await
    }

    /// Waits until the client has ended by itself.
    pub(crate) async fn ended(self) -> Result<(), RunError> {
        timeout(PATIENCE, self.run).await.unwrap().unwrap()
    }

    /// Ends the client without a word: nothing of it runs once more, to answer what comes meanwhile.
    pub(crate) async fn kill(self) {
        self.runtime.end().await;
    }
}
