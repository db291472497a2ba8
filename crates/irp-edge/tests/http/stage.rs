//! An edge's public side on a free port, without TLS: what a test knocks at.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use irp_edge::{
    http::{Exchange, ExchangeSink, Limits, Protocol, Route, Routes, Service, Visitor, access::Access},
    idle::{Activity, BootClock},
    tunnels::{
        Tunnel,
        pool::Forward,
        sshd::{ForwardAddress, UpstreamPort},
    },
};
use irp_testkit::visitor::{Door, Reply};
use irp_wire::{name::Hostname, tasks::Tasks};
use tokio::net::TcpListener;

/// The name that the stage serves.
pub(crate) const NAME: &str = "app.example";

pub(crate) struct Stage {
    pub(crate) service: Service,
    pub(crate) tasks: Tasks,
    pub(crate) route: Arc<Route>,
    pub(crate) heard: Arc<Heard>,
    http1: SocketAddr,
    http2: SocketAddr,
}

/// Keeps every exchange.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<Exchange>>);

impl ExchangeSink for Heard {
    fn ended(&self, exchange: &Exchange) {
        self.0.lock().unwrap().push(exchange.clone());
    }
}

impl Heard {
    pub(crate) fn all(&self) -> Vec<Exchange> {
        self.0.lock().unwrap().clone()
    }
}

struct Table(HashMap<Hostname, Arc<Route>>);

impl Routes for Table {
    fn route(&self, host: &str) -> Option<Arc<Route>> {
        // Visitors who were told an address and no name.
        self.0.get(if host == "127.0.0.1" { NAME } else { host }).cloned()
    }
}

/// One request line and `Host`, to be followed by further header lines.
pub(crate) fn head(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {NAME}\r\n")
}

/// Limits for tests that wait for them to be reached.
pub(crate) fn short() -> Limits {
    Limits { hold: Duration::from_millis(300), budget: 64 * 1024 * 1024, ..Limits::default() }
}

impl Stage {
    /// With a forward to `origin`.
    pub(crate) async fn with(origin: SocketAddr) -> Self {
        Self::new(Some(origin), short(), Access::default()).await
    }

    pub(crate) async fn new(origin: Option<SocketAddr>, limits: Limits, access: Access) -> Self {
        let tasks = Tasks::new();
        let name: Hostname = NAME.parse().unwrap();
        let route = Arc::new(Route::new(name.clone(), access));
        let heard = Arc::new(Heard::default());
        let table = Arc::new(Table(HashMap::from([(name, Arc::clone(&route))])));
        let service =
            Service::new(table, limits, Activity::new(BootClock), 7, tasks.clone(), Some(heard.clone()));
        let http1 = listen(&service, &tasks, Protocol::Http1).await;
        let http2 = listen(&service, &tasks, Protocol::Http2).await;
        let stage = Self { service, tasks, route, heard, http1, http2 };
        if let Some(origin) = origin {
            stage.connect(origin);
        }
        stage
    }

    /// Puts a forward to `origin` behind the name.
    pub(crate) fn connect(&self, origin: SocketAddr) -> Tunnel {
        let address = ForwardAddress::Tcp(UpstreamPort::new(origin.port(), &[]).unwrap());
        let tunnel = Tunnel::Forward(Forward::new(address, self.tasks.clone()));
        self.route.set(tunnel.clone());
        tunnel
    }

    /// Puts a forward behind the name that leads back to this edge.
    pub(crate) fn connect_to_itself(&self) -> Tunnel {
        self.connect(self.http1)
    }

    /// The door for HTTP/1.1.
    pub(crate) fn door(&self) -> Door {
        Door::plain(self.http1)
    }

    /// The door for HTTP/2.
    pub(crate) fn door2(&self) -> Door {
        Door::plain(self.http2)
    }

    /// Sends one HTTP/1.1 request, whose target and further header lines are given, on a new connection.
    pub(crate) async fn get(&self, path: &str, more: &str) -> Reply {
        self.send("GET", path, more, "").await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, more: &str, body: &str) -> Reply {
        let mut wire = self.door().connect().await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {NAME}\r\n{more}\r\n{body}");
        wire.send(request).await.unwrap();
        wire.response_to(method).await.unwrap()
    }
}

async fn listen(service: &Service, tasks: &Tasks, protocol: Protocol) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (service, tasks) = (service.clone(), tasks.clone());
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            // HTTP/2 visitors do without SNI here.
            let sni = if protocol == Protocol::Http1 { NAME.parse().ok() } else { None };
            let visitor = Visitor { address: peer, tls: true, sni, port: 443 };
            let stop = tasks.token().clone();
            tasks.spawn(service.clone().serve_connection(stream, visitor, protocol, stop));
        }
    });
    address
}
