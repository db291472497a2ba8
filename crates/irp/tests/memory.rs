//! What the program weighs while it works: edge and client as processes of their own, since visitors and the
//! program behind the tunnel live in the process of the test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use http::Request;
use http_body_util::BodyExt as _;
use irp_testkit::{
    descriptors,
    memory::Memory,
    origin::{Origin, Uploaded, pattern, pattern_sha256},
    patience::{PATIENCE, eventually},
    process::Peer,
    visitor::{Curl, Door, Wire},
};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::Mutex, task::JoinSet, time::timeout};

const NAME: &str = "bot.localhost";
const MIB: u64 = 1 << 20;

/// How much passes each way, in GiB, unless [`BULK_GIB`] says otherwise.
const GIB: u64 = 1;
/// The variable that lets more pass, for a run by hand.
const BULK_GIB: &str = "IRP_TEST_BULK_GIB";

/// What edge and client may weigh each while all of that passes, in bytes.
const PASSING: u64 = 60 * MIB;
/// What edge and client may weigh each with a thousand stalled visitors, in bytes.
const STALLED: u64 = 400 * MIB;
/// How long a small request may take beside them; the bench measures how long it does take.
const SOON: Duration = Duration::from_secs(2);
/// How many visitors knock at once.
const AT_ONCE: usize = 50;

/// One test at a time: each wants the whole machine.
static ALONE: Mutex<()> = Mutex::const_new(());

/// An edge and a client that run, with a friendly program behind them.
struct World {
    edge: Peer,
    client: Peer,
    origin: Origin,
    address: SocketAddr,
    ca: PathBuf,
    _home: TempDir,
}

impl World {
    fn start(lanes: u16) -> Self {
        let home = TempDir::new().unwrap();
        let origin = Origin::start();
        let made = irp(home.path(), &["--json", "keygen"]).output().unwrap();
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        // The budget for visitors is part of what is measured; the times are longer than any test.
        let config = format!(
            "listen = [\"127.0.0.1:0\"]\nstate_dir = {:?}\n[certificate]\nmode = \"local\"\n[limits]\n\
             memory = \"300MiB\"\nstall_time = \"10m\"\nupload_time = \"10m\"\nupstream_time = \"10m\"\n\
             [[key]]\npublic = {}\nnames = [\"{NAME}\"]\n",
            home.path().join("edge"),
            made["public"],
        );
        fs::write(home.path().join("edge.toml"), config).unwrap();
        let command = irp(home.path(), &["edge", "--config", "edge.toml", "--json"]);
        let (edge, listening) = start(command, &home.path().join("edge.log"), "listening");
        let address: SocketAddr = listening["addresses"][0].as_str().unwrap().parse().unwrap();
        let ca = irp(home.path(), &["ca", "path"]).output().unwrap();
        let ca = PathBuf::from(String::from_utf8(ca.stdout).unwrap().trim_end());
        let (host, upstream) = (format!("{NAME}:{}", address.port()), origin.port().to_string());
        let mut command = irp(home.path(), &["--json", "connect", &host, &upstream]);
        command.args(["--connect-to", &address.to_string(), "--lanes", &lanes.to_string()]);
        command.arg("--cacert").arg(&ca);
        let (client, _) = start(command, &home.path().join("client.log"), "connected");
        Self { edge, client, origin, address, ca, _home: home }
    }

    fn door(&self) -> Door {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca).unwrap()).unwrap();
        Door::tls(self.address, NAME, Arc::new(roots))
    }

    fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.address.port())
    }

    /// The most that edge and client ever weighed, in bytes.
    fn peaks(&self) -> [u64; 2] {
        [&self.edge, &self.client].map(|peer| Memory::of(peer.pid()).unwrap().peak)
    }

    /// Waits until all buffers on the way are full, so that nothing moves any more.
    async fn settle(&self) {
        let weigh = || [&self.edge, &self.client].map(|peer| Memory::of(peer.pid()).unwrap().resident / MIB);
        let deadline = Instant::now() + PATIENCE;
        let mut before = weigh();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = weigh();
            if now == before {
                return;
            }
            assert!(Instant::now() < deadline, "it grows and grows: {before:?} {now:?}");
            before = now;
        }
    }

    /// Asserts that small requests are answered soon, on one connection and on new ones.
    async fn small_requests_are_answered(&self) {
        let mut open = self.door().connect().await.unwrap();
        for _ in 0..10 {
            let begun = Instant::now();
            small(&mut open).await;
            small(&mut self.door().connect().await.unwrap()).await;
            assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
        }
    }

    /// Lets a thousand visitors in, a few at a time, and keeps their connections.
    async fn thousand<F>(&self, stall: impl Fn(Door) -> F) -> Vec<Wire>
    where
        F: Future<Output = Wire> + Send + 'static,
    {
        descriptors::allow(4096).unwrap();
        let (mut knocking, mut stalled) = (JoinSet::new(), Vec::new());
        for _ in 0..1000 {
            if knocking.len() == AT_ONCE {
                stalled.push(knocking.join_next().await.unwrap().unwrap());
            }
            knocking.spawn(stall(self.door().receive_buffer(8192)));
        }
        stalled.extend(knocking.join_all().await);
        stalled
    }
}

fn irp(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_irp"));
    command.args(arguments).env_clear().env("HOME", home).env("USER", "alice").current_dir(home);
    command
}

/// Starts a program that prints one JSON object a line, and waits for the first event called `name`.
fn start(command: Command, log: &Path, name: &str) -> (Peer, Value) {
    let mut peer = Peer::start(command, "irp", log).unwrap();
    let mut found = None;
    peer.wait_until(|| {
        let text = fs::read_to_string(log).unwrap_or_default();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        found = events.into_iter().find(|event| event["event"] == name);
        found.is_some()
    })
    .unwrap();
    (peer, found.unwrap())
}

async fn small(wire: &mut Wire) {
    wire.send(format!("GET /bytes/5 HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
    let reply = wire.response().await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 5));
}

async fn stalled_download(door: Door) -> Wire {
    ask(door, "/bytes/536870912").await
}

/// An answer of which there is more than all windows hold, and not so much that the kernel's buffers, which
/// are not what is measured, take the machine's memory a thousand times.
async fn stalled_small_download(door: Door) -> Wire {
    ask(door, "/stall/1048576").await
}

async fn ask(door: Door, path: &str) -> Wire {
    let mut wire = door.connect().await.unwrap();
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
    wire
}

/// Sends to a program that takes nothing, until the way is full; no more than 1 MiB, since what the kernel
/// keeps is not what is measured.
async fn stalled_upload(door: Door) -> Wire {
    let mut wire = door.connect().await.unwrap();
    let head = format!("POST /slow/600000 HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 536870912\r\n\r\n");
    wire.send(head).await.unwrap();
    let piece = vec![7; 64 * 1024];
    for _ in 0..16 {
        if timeout(Duration::from_millis(300), wire.send(&piece)).await.is_err() {
            break;
        }
    }
    wire
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_passes_each_way_in_little_memory() {
    let _alone = ALONE.lock().await;
    let gib = std::env::var(BULK_GIB).map_or(GIB, |text| text.parse().unwrap());
    let length = gib << 30;
    let expected = pattern_sha256(length);
    for lanes in [0, 32] {
        let world = World::start(lanes);
        let curl = Curl::new().trusting(&world.ca).resolving(NAME, world.address);
        let begun = Instant::now();
        let curl = curl.args([
            "--max-time",
            "1200",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} %{size_download}",
        ]);
        let output = curl.output(&world.url(&format!("/bytes/{length}"))).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("200 {length}"), "lanes: {lanes}");

        let mut http2 = world.door().http2().await.unwrap();
        let upload = Request::post(world.url("/upload")).body(pattern(length)).unwrap();
        let reply = http2.send_request(upload).await.unwrap().into_body().collect().await.unwrap();
        let seen: Uploaded = serde_json::from_slice(&reply.to_bytes()).unwrap();
        assert_eq!((seen.length, &seen.sha256), (length, &expected), "lanes: {lanes}");
        let peaks = world.peaks();
        let (took, [edge, client]) = (begun.elapsed(), peaks.map(|peak| peak / MIB));
        println!(
            "lanes: {lanes}; {gib} GiB each way in {took:.0?}; at most: edge {edge} MiB, client {client} MiB"
        );
        assert!(peaks.iter().all(|peak| *peak < PASSING), "lanes: {lanes}, edge and client: {peaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_stalled_downloads_hold_nobody_up() {
    let _alone = ALONE.lock().await;
    let world = World::start(0);
    let mut stalled = Vec::new();
    for _ in 0..6 {
        stalled.push(stalled_download(world.door()).await);
    }
    eventually("all are under way", || world.origin.counters().in_flight() == 6).await;
    world.small_requests_are_answered().await;
    assert_eq!(world.origin.counters().in_flight(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_stalled_downloads_hold_nobody_up() {
    let _alone = ALONE.lock().await;
    let world = World::start(32);
    let _stalled = world.thousand(stalled_small_download).await;
    eventually("all are under way", || world.origin.counters().in_flight() == 1000).await;
    world.settle().await;
    world.small_requests_are_answered().await;
    assert_eq!(world.origin.counters().in_flight(), 1000);
    let peaks = world.peaks();
    assert!(peaks.iter().all(|peak| *peak < STALLED), "edge and client: {peaks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_stalled_uploads_hold_nobody_up() {
    let _alone = ALONE.lock().await;
    let world = World::start(32);
    let _stalled = world.thousand(stalled_upload).await;
    eventually("all are under way", || world.origin.counters().in_flight() == 1000).await;
    world.settle().await;
    world.small_requests_are_answered().await;
    assert_eq!(world.origin.counters().in_flight(), 1000);
    let peaks = world.peaks();
    assert!(peaks.iter().all(|peak| *peak < STALLED), "edge and client: {peaks:?}");
}
