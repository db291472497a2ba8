//! SIGHUP: a running edge reads its keys again.

use std::{fs, path::Path};

use irp_testkit::{origin::Origin, patience::eventually_blocking};
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, irp},
};

const NAMES: [&str; 2] = ["alice.localhost", "bob.localhost"];

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_taken_out_loses_its_tunnel_and_the_others_notice_nothing() {
    let (home, others) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let tables = [home.path(), others.path()].map(keygen);
    let [alice, bob] = [0, 1].map(|at| key_table(&tables[at], &[NAMES[at]]));
    let edge = Edge::start(home.path(), &format!("{LOCAL}{alice}{bob}"));
    let config = home.path().join("edge.toml");
    let text = fs::read_to_string(&config).unwrap();
    let ca = ca_path(home.path());
    let origin = Origin::start();
    let connect = |home: &Path, name: &str| {
        let (host, upstream, address) =
            (edge.host(name), origin.port().to_string(), edge.address.to_string());
        let arguments = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", &ca];
        Running::start(irp(home, &arguments), home.join("client.log"))
    };
    let mut first = connect(home.path(), NAMES[0]);
    first.event("connected");
    let mut second = connect(others.path(), NAMES[1]);
    second.event("connected");

    // A mistake changes nothing, and is told.
    fs::write(&config, text.replace(&alice, "[[kye]]\n")).unwrap();
    edge.running.hang_up();
    eventually_blocking("the mistake is told", || edge.running.log().contains("all keys stay as they were"));
    assert!(edge.running.log().contains("kye"), "{}", edge.running.log());
    assert_eq!(NAMES.map(|name| edge.status(&ca, name)), [Some(200); 2]);

    fs::write(&config, text.replace(&alice, "")).unwrap();
    edge.running.hang_up();
    let error = first.event("error");
    assert_eq!(error["kind"], "refused", "{error}");
    assert!(error.to_string().contains("this edge does not know your key"), "{error}");
    assert_eq!(first.end().code(), Some(6));
    // There is no way back in.
    assert_eq!(connect(home.path(), NAMES[0]).end().code(), Some(6));
    assert_eq!(edge.status(&ca, NAMES[1]), Some(200));

    fs::write(&config, text).unwrap();
    edge.running.hang_up();
    eventually_blocking("the list is whole again", || {
        edge.running.log().matches("the list of keys was replaced").count() == 2
    });
    let mut first = connect(home.path(), NAMES[0]);
    first.event("connected");
    assert_eq!(NAMES.map(|name| edge.status(&ca, name)), [Some(200); 2]);
    for client in [first, second] {
        client.interrupt();
        assert_eq!(client.end().code(), Some(0));
    }
    // Bob's tunnel was one and the same all the time.
    let log = edge.running.log();
    let up = log.lines().filter(|line| line.contains("a tunnel is up") && line.contains(NAMES[1])).count();
    assert_eq!(up, 1, "{log}");
    edge.stop();
}
