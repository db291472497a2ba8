//! Ctrl-C twice: whoever waits for a request that never ends need not wait for ever.

use std::{
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use irp_testkit::{
    patience::eventually_blocking,
    process::{Peer, find},
};
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, irp},
    up::up_local,
};

/// How long a process is seen to stay after the first signal. Well over the time within which a second signal is
/// taken for an echo of the first, and well under that after which unfinished requests are cut.
const STAYS: Duration = Duration::from_millis(500);

/// An edge that would wait for longer than the test does.
const PATIENT: &str = "[limits]\ndrain_time = \"10m\"\n";

/// The code of a process that was told twice.
const QUIT: Option<i32> = Some(130);

/// A request that the upstream has got and never answers.
struct Unanswered {
    _visitor: Peer,
    _stream: TcpStream,
}

impl Unanswered {
    fn through(home: &Path, ca: &str, host: &str, upstream: &TcpListener) -> Self {
        let mut curl = Command::new(find("curl", "curl").unwrap());
        let port = host.rsplit(':').next().unwrap();
        curl.args(["-sS", "--noproxy", "*", "--cacert", ca, "--resolve", &format!("*:{port}:127.0.0.1")]);
        curl.arg(format!("https://{host}/never"));
        let visitor = Peer::start(curl, "curl", &home.join("curl.log")).unwrap();
        let (stream, _) = upstream.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "GET /never HTTP/1.1\r\n");
        Self { _visitor: visitor, _stream: stream }
    }
}

/// It has been told once, and has said so: it stays, until it is told again.
fn quits_when_told_again(mut running: Running) {
    let told = Instant::now();
    while told.elapsed() < STAYS {
        assert!(running.is_under_way(), "it did not wait for the request: {}", running.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    running.interrupt();
    assert_eq!(running.end().code(), QUIT);
}

#[test]
fn up_local_told_twice_quits_at_once() {
    let home = TempDir::new().unwrap();
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (mut up, port) = up_local(home.path(), Some(upstream.local_addr().unwrap().port()));
    let ca = ca_path(home.path());
    let _request = Unanswered::through(home.path(), &ca, &format!("alice.localhost:{port}"), &upstream);
    up.interrupt();
    up.event("stopping");
    quits_when_told_again(up);
}

#[test]
fn a_client_and_an_edge_told_twice_quit_at_once() {
    let home = TempDir::new().unwrap();
    let upstream = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = upstream.local_addr().unwrap().port().to_string();
    let key = key_table(&keygen(home.path()), &["bot.localhost"]);
    let edge = Edge::start(home.path(), &format!("{LOCAL}{key}{PATIENT}"));
    let (host, address) = (edge.host("bot.localhost"), edge.address.to_string());
    let ca = ca_path(home.path());
    let arguments = ["--json", "connect", &host, &target, "--connect-to", &address, "--cacert", &ca];
    let connect = |log: &str| {
        let mut client = Running::start(irp(home.path(), &arguments), home.path().join(log));
        client.event("connected");
        client
    };

    let mut client = connect("first.log");
    let request = Unanswered::through(home.path(), &ca, &host, &upstream);
    client.interrupt();
    client.event("stopping");
    quits_when_told_again(client);
    drop(request);

    let _client = connect("second.log");
    let _request = Unanswered::through(home.path(), &ca, &host, &upstream);
    edge.running.interrupt();
    eventually_blocking("the edge stops", || edge.running.log().contains("stopping: requests under way"));
    quits_when_told_again(edge.running);
}
