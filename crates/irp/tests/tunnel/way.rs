//! The two ways that a request can take through a tunnel, and proof of which one it took.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use irp_client::ClientConfig;
use irp_testkit::patience::eventually;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::stage::{Client, Options, Stage};

/// The lanes that an edge asks for at once.
const LANES: usize = 4;

/// How long all connections must be quiet until their handshakes are over.
const QUIET: Duration = Duration::from_millis(100);

/// How requests reach the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over HTTP/2 alone.
    Http2,
    /// Over lanes, of which some are idle when the test begins.
    Lanes,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Http2, Self::Lanes];
}

/// An edge with a client that is connected, all that it wants to be.
pub(crate) struct Tunnel {
    pub(crate) stage: Stage,
    pub(crate) client: Client,
    meter: Meter,
    /// The connections before the first lane: an attempt to connect may fail and be made again.
    not_lanes: usize,
}

impl Tunnel {
    pub(crate) async fn open(way: Way, upstream: impl ToString) -> Self {
        Self::with(way, upstream, Options::default(), |_| {}).await
    }

    pub(crate) async fn with(
        way: Way,
        upstream: impl ToString,
        options: Options,
        change: impl FnOnce(&mut ClientConfig),
    ) -> Self {
        let stage = Stage::with(options).await;
        let meter = Meter::start(stage.address).await;
        let mut config = stage.config(&upstream.to_string());
        config.connect_to = Some(meter.address);
        if way == Way::Http2 {
            config.lanes_max = 0;
        }
        change(&mut config);
        let mut client = Client::start(config);
        client.connected().await;
        let not_lanes = match way {
            Way::Http2 => meter.carried().len(),
            Way::Lanes => 1,
        };
        if way == Way::Lanes {
            meter.settle().await;
        }
        Self { stage, client, meter, not_lanes }
    }

    /// Bytes that lanes have carried so far, both ways together, handshakes too.
    pub(crate) fn by_lanes(&self) -> u64 {
        self.meter.carried().iter().skip(self.not_lanes).sum()
    }

    /// Lets both ends leave.
    pub(crate) async fn close(self) {
        self.client.stop().await.unwrap();
        self.stage.stop().await;
    }
}

/// Stands between client and edge and counts what each connection carries. The HTTP/2 connection comes first,
/// after it come the lanes.
struct Meter {
    address: SocketAddr,
    carried: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
}

impl Meter {
    async fn start(edge: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let carried = Arc::<Mutex<Vec<_>>>::default();
        let shared = Arc::clone(&carried);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let count = Arc::<AtomicU64>::default();
                shared.lock().unwrap().push(Arc::clone(&count));
                tokio::spawn(pass(client, edge, count));
            }
        });
        Self { address, carried }
    }

    fn carried(&self) -> Vec<u64> {
        self.carried.lock().unwrap().iter().map(|count| count.load(Relaxed)).collect()
    }

    /// Waits until the first lanes are there and nothing moves on any connection.
    async fn settle(&self) {
        eventually("the first lanes", || self.carried().len() > LANES).await;
        loop {
            let before = self.carried();
            tokio::time::sleep(QUIET).await;
            if self.carried() == before {
                return;
            }
        }
    }
}

async fn pass(client: TcpStream, edge: SocketAddr, count: Arc<AtomicU64>) {
    let Ok(edge) = TcpStream::connect(edge).await else { return };
    for stream in [&client, &edge] {
        stream.set_nodelay(true).unwrap();
    }
    let ((from_client, to_client), (from_edge, to_edge)) = (client.into_split(), edge.into_split());
    tokio::join!(pump(from_client, to_edge, &count), pump(from_edge, to_client, &count));
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(length as u64, Relaxed);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
