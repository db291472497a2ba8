//! How an edge ends by itself, and what it tells clients and systemd.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, WITHIN, ca_path, irp},
};

/// The idle time, in hours and as a span: long enough for a client to come on a busy machine.
const HOURS: f64 = 0.003;
const IDLE: Duration = Duration::from_millis(10_800);

/// An edge whose only client leaves; returns its home once the edge has ended by itself.
fn left_alone(idle: &str) -> TempDir {
    let home = TempDir::new().unwrap();
    let key = key_table(&keygen(home.path()), &["bot.localhost"]);
    let edge = Edge::start(home.path(), &format!("{LOCAL}{key}[idle]\nhours = {HOURS}\n{idle}"));
    let (host, address) = (edge.host("bot.localhost"), edge.address.to_string());
    let ca = ca_path(home.path());
    let arguments = ["--json", "connect", &host, "3000", "--connect-to", &address, "--cacert", &ca];
    let mut client = Running::start(irp(home.path(), &arguments), home.path().join("client.log"));
    client.event("connected");
    let left = Instant::now();
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));

    assert_eq!(edge.running.end().code(), Some(0));
    assert!(left.elapsed() >= IDLE, "it ended {:?} after its client left", left.elapsed());
    home
}

#[test]
fn an_idle_edge_writes_the_file_that_powers_the_machine_off() {
    let files = TempDir::new().unwrap();
    let file = files.path().join("power-off");
    let home = left_alone(&format!("on_end = {{ file = {file:?} }}\n"));
    assert!(file.exists(), "{}", fs::read_to_string(home.path().join("edge.log")).unwrap());
}

#[test]
fn an_idle_edge_exits() {
    left_alone("on_end = \"exit\"\n");
}

/// What a client tells of the time that its edge has left.
fn time_left(hours: &str) -> Value {
    let home = TempDir::new().unwrap();
    let key = key_table(&keygen(home.path()), &["bot.localhost"]);
    let edge = Edge::start(home.path(), &format!("{LOCAL}{key}[idle]\nhours = {hours}\non_end = \"exit\"\n"));
    let (host, address) = (edge.host("bot.localhost"), edge.address.to_string());
    let ca = ca_path(home.path());
    let arguments = ["--json", "connect", &host, "3000", "--connect-to", &address, "--cacert", &ca];
    let mut client = Running::start(irp(home.path(), &arguments), home.path().join("client.log"));
    client.event("connected");
    let told = client.event("idle")["ends_after_s"].clone();
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    edge.stop();
    told
}

#[test]
fn a_client_tells_when_its_edge_would_end_without_it() {
    // Some of it may have passed before the client came.
    let seconds = time_left("2.5").as_u64().unwrap();
    assert!((8_700..=9_000).contains(&seconds), "{seconds}");
    assert_eq!(time_left("0"), Value::Null);
}

#[test]
fn systemd_is_told_that_it_is_ready_alive_and_stopping() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(WITHIN)).unwrap();
    let key = key_table(&keygen(home.path()), &["bot.localhost"]);
    let edge = Edge::start_at(home.path(), 0, &format!("{LOCAL}{key}"), |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000");
    });
    let heard = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    assert_eq!(heard(), "READY=1");
    for _ in 0..3 {
        assert_eq!(heard(), "WATCHDOG=1");
    }
    edge.running.interrupt();
    let last = std::iter::repeat_with(heard).find(|message| message != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert_eq!(edge.running.end().code(), Some(0));
}
