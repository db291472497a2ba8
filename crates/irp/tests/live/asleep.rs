//! A client whose PC sleeps: a process that stands still for long cannot tell the difference.

use std::{thread, time::Duration};

use irp_testkit::{origin::Origin, patience::eventually_blocking};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    metrics,
    program::{Running, ca_path, irp},
};

const NAME: &str = "bot.localhost";

/// Over the ten seconds that a client takes for sleep.
const ASLEEP: Duration = Duration::from_secs(12);

/// Requests wait for longer than a slow machine takes to wake up.
const PATIENT: &str = "[limits]\nhold = \"25s\"\n";

#[test]
fn a_client_that_slept_is_back_by_itself_and_what_was_held_goes_through() {
    let home = TempDir::new().unwrap();
    let origin = Origin::start();
    let key = key_table(&keygen(home.path()), &[NAME]);
    let metrics = "metrics_listen = \"127.0.0.1:0\"\n";
    let edge = Edge::start(home.path(), &format!("{metrics}{LOCAL}{key}{PATIENT}"));
    let ca = ca_path(home.path());
    let (host, upstream, address) = (edge.host(NAME), origin.port().to_string(), edge.address.to_string());
    let arguments = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", &ca];
    let mut client = Running::start(irp(home.path(), &arguments), home.path().join("client.log"));
    client.event("connected");
    assert_eq!(edge.status(&ca, NAME), Some(200));

    client.freeze();
    thread::sleep(ASLEEP);
    eventually_blocking("the edge notices", || edge.running.log().contains("a tunnel is gone"));

    let seen = origin.counters().seen();
    let awake = thread::scope(|scope| {
        let held = scope.spawn(|| edge.status(&ca, NAME));
        eventually_blocking("the request is held", || {
            let (page, _) = metrics::get(edge.metrics.unwrap(), "/metrics");
            page.lines().any(|line| line == "irp_held_requests 1")
        });
        client.thaw();
        let awake = client.events_to("connected");
        assert_eq!(held.join().unwrap(), Some(200), "{awake:#?}");
        awake
    });
    assert_eq!(origin.counters().seen(), seen + 1);
    // Back-off, too, would have brought it back after a while. What it says is why it did not wait.
    let slept = |event: &Value| event["event"] == "renewing" && event["why"] == "this machine slept";
    assert!(awake.iter().any(slept), "{awake:#?}");
    client.interrupt();
    // Whoever reads along has had the URL.
    let after = client.events_to("stopping");
    assert!(after.iter().all(|event| event["event"] != "url"), "{after:#?}");
    assert_eq!(client.end().code(), Some(0));
    edge.stop();
}
