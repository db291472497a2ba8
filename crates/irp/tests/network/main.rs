//! A client on another network than its edge, which loses its network for a while.
//!
//! Edge, certificate authority and visitors are in one network namespace, the developer's PC in another, with a
//! cable between them. All are the real programs: `irp edge`, `irp connect`, pebble, curl. Needs root.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod program;
mod ssh;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use irp_testkit::{
    acme::{Pebble, PebbleOptions},
    dns::Responder,
    namespace::Namespace,
    openssh::KeyPair,
    origin::Origin,
    visitor::{Curl, Reply},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use program::{Program, irp};

/// The public name; it exists only in the test's own DNS.
const NAME: &str = "alice.irp.test";

/// Addresses of the two ends of the cable, which exist only in the namespaces.
const EDGE: &str = "10.77.0.1";
const PC: &str = "10.77.0.2";

/// How long the PC is without network: long past the 15 s that both ends take to notice, so that every wait of
/// the client has reached its cap.
const AWAY: Duration = Duration::from_secs(60);

/// How soon the tunnel must stand once the network is back.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// How long anything else may take on a shared machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_client_that_lost_its_network_is_back_in_seconds_and_held_requests_are_answered() {
    let (edge_side, pc_side) = networks("native");
    let home = TempDir::new().unwrap();
    let public = key(home.path());

    let folder = home.path().to_owned();
    let edge = edge_side.run(move || EdgeSide::start(folder, &public, ""));
    let origin = pc_side.run(Origin::start);
    let upstream = origin.address().to_string();
    let address = format!("{EDGE}:443");
    let cacert = edge.root.to_str().unwrap().to_owned();
    let (folder, log) = (home.path().to_owned(), home.path().join("client.log"));
    let client = pc_side.run(move || {
        let arguments = ["--json", "connect", NAME, &upstream, "--connect-to", &address, "--cacert", &cacert];
        Program::start(irp(&folder, &arguments), log)
    });
    client.event("connected", PATIENCE);
    let edge = visit(&edge_side, edge, "/", 200);

    pc_side.ip(&["link", "set", "cable", "down"]).unwrap();
    let away_since = Instant::now();
    client.event("lost", PATIENCE);
    // The edge holds requests meanwhile, and says so when it has held them long enough. One that came before
    // the edge had noticed would have got 502.
    thread::sleep(AWAY.saturating_sub(away_since.elapsed() + Duration::from_secs(5)));
    let edge = visit(&edge_side, edge, "/too-early", 503);
    thread::sleep(AWAY.saturating_sub(away_since.elapsed()));

    let seen = origin.counters().seen();
    let visiting = thread::scope(|scope| {
        let held = scope.spawn(|| visit(&edge_side, edge, "/held", 200));
        pc_side.ip(&["link", "set", "cable", "up"]).unwrap();
        let back_since = Instant::now();
        let back = client.event("connected", PATIENCE) - back_since;
        assert!(back < BACK_WITHIN, "the client took {back:?}\n{}", client.output());
        held.join().unwrap()
    });
    assert_eq!(origin.counters().seen(), seen + 1);
    drop((client, visiting));
}

#[test]
fn ssh_that_lost_its_network_is_back_in_seconds_and_held_requests_are_answered() {
    let (edge_side, pc_side) = networks("ssh");
    let home = TempDir::new().unwrap();
    // The account of the forwards must be able to pass.
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let key = KeyPair::generate(home.path(), "alice").unwrap();
    let sshd = ssh::server(home.path());
    let (folder, public) = (home.path().to_owned(), key.public.clone());
    let edge = edge_side.run(move || EdgeSide::start(folder, &public, &sshd));
    let origin = pc_side.run(Origin::start);
    let (folder, port) = (home.path().to_owned(), origin.port());
    let client = pc_side.run(move || ssh::keep_forwarding(&folder, &key, port));
    let edge = visit_until(&edge_side, edge, "/", 200);

    pc_side.ip(&["link", "set", "cable", "down"]).unwrap();
    let away_since = Instant::now();
    // Once sshd has noticed, there is no tunnel, and requests are held.
    let edge = visit_until(&edge_side, edge, "/", 503);
    thread::sleep(AWAY.saturating_sub(away_since.elapsed()));

    let seen = origin.counters().seen();
    let visiting = thread::scope(|scope| {
        // It is held for no longer than the tunnel may take to be back.
        let held = scope.spawn(|| visit(&edge_side, edge, "/held", 200));
        pc_side.ip(&["link", "set", "cable", "up"]).unwrap();
        held.join().unwrap()
    });
    assert_eq!(origin.counters().seen(), seen + 1);
    drop((client, visiting));
}

/// The edge's network and the PC's, with a cable between them.
fn networks(test: &str) -> (Namespace, Namespace) {
    let edge_side = Namespace::new(&format!("edge-{test}")).unwrap();
    let pc_side = Namespace::new(&format!("pc-{test}")).unwrap();
    edge_side.connect(EDGE, &pc_side, PC).unwrap();
    (edge_side, pc_side)
}

/// Makes the client's key, and gives its public half as a line of `edge.toml` wants it.
fn key(home: &Path) -> String {
    let made = irp(home, &["--json", "keygen"]).output().unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    made["public"].as_str().unwrap().to_owned()
}

/// What lives in the edge's namespace.
struct EdgeSide {
    runtime: Runtime,
    /// Trusts the authority that has issued the edge's certificate.
    curl: Curl,
    root: PathBuf,
    edge: Program,
    _dns: Responder,
    _pebble: Pebble,
}

impl EdgeSide {
    /// Starts DNS, pebble and the edge, and waits until the edge has its certificate. `tables` are more of `edge.toml`.
    fn start(home: PathBuf, public: &str, tables: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let dns = runtime.block_on(Responder::start()).unwrap();
        dns.add_address(NAME, EDGE.parse().unwrap());
        let options = PebbleOptions { dns: Some(dns.address()), ..PebbleOptions::default() };
        let pebble = Pebble::start(&home, &options).unwrap();
        let roots = format!("https://localhost:{}/roots/0", pebble.management().port());
        let root = home.join("issuer.pem");
        // The management interface shows a certificate of its own.
        let issuer = runtime.block_on(Curl::new().args(["--insecure"]).get(&roots)).unwrap();
        fs::write(&root, issuer.body).unwrap();

        let config = format!(
            "listen = [\"0.0.0.0:443\"]\nstate_dir = {:?}\n\
             [acme]\ndirectory = {:?}\nchallenge = \"tls-alpn-01\"\nroots = {:?}\n\
             [[key]]\npublic = {public:?}\nnames = [{NAME:?}]\n{tables}",
            home.join("edge"),
            pebble.directory_url,
            pebble.root_pem,
        );
        fs::write(home.join("edge.toml"), config).unwrap();
        let command = irp(&home, &["edge", "--config", "edge.toml", "--json"]);
        let edge = Program::start(command, home.join("edge.log"));
        edge.event("listening", PATIENCE);
        let address = format!("{EDGE}:443").parse().unwrap();
        let curl = Curl::new().trusting(&root).resolving(NAME, address);
        let this = Self { runtime, curl, root, edge, _dns: dns, _pebble: pebble };
        let deadline = Instant::now() + PATIENCE;
        // Until there is a certificate, TLS fails; then it is said that nobody is connected.
        while !this.get("/").is_ok_and(|reply| reply.status == 503) {
            assert!(Instant::now() < deadline, "no certificate: {}", this.edge.output());
        }
        this
    }

    fn get(&self, path: &str) -> std::io::Result<Reply> {
        self.runtime.block_on(self.curl.get(&format!("https://{NAME}{path}")))
    }
}

/// Lets a visitor of the edge's network ask for `path`.
fn visit(network: &Namespace, edge: EdgeSide, path: &'static str, status: u16) -> EdgeSide {
    network.run(move || {
        let reply = edge.get(path).unwrap();
        assert_eq!(reply.status, status, "{}\n{}", reply.text(), edge.edge.output());
        edge
    })
}

/// Visits until it is answered with this status.
fn visit_until(network: &Namespace, edge: EdgeSide, path: &'static str, status: u16) -> EdgeSide {
    network.run(move || {
        let deadline = Instant::now() + PATIENCE;
        while edge.get(path).unwrap().status != status {
            assert!(Instant::now() < deadline, "never {status}: {}", edge.edge.output());
        }
        edge
    })
}
