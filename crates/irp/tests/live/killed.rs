//! The edge is killed under load and started again: what becomes of each request.

use std::sync::Arc;

use irp_testkit::{
    origin::Origin,
    patience::eventually,
    visitor::{Door, Load, Sent},
};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, free_port, irp},
};

const NAME: &str = "bot.localhost";

/// How many visitors are there at once; more than the lanes that stand from the start.
const VISITORS: usize = 8;

/// How many answers are waited for before, and after, the kill.
const SOME: u64 = 100;

/// An answer that takes a moment, so that most visitors wait for one when the edge dies.
const PATH: &str = "/slow/20";

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_killed_under_load_and_started_again_leaves_every_request_accounted_for() {
    let home = TempDir::new().unwrap();
    let origin = Origin::start();
    let tables = format!("{LOCAL}{}", key_table(&keygen(home.path()), &[NAME]));
    let port = free_port();
    let edge = Edge::start_at(home.path(), port, &tables, |_| {});
    let ca = ca_path(home.path());
    let (host, upstream, address) = (edge.host(NAME), origin.port().to_string(), edge.address.to_string());
    let arguments = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", &ca];
    let mut client = Running::start(irp(home.path(), &arguments), home.path().join("client.log"));
    client.event("connected");

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&ca).unwrap()).unwrap();
    let load = Load::start(&Door::tls(edge.address, NAME, Arc::new(roots)), NAME, PATH, VISITORS);
    traffic(&load).await;
    // SIGKILL: no handler runs, nobody hears goodbye.
    drop(edge);
    let edge = Edge::start_at(home.path(), port, &tables, |_| {});
    client.event("connected");
    traffic(&load).await;

    let sent = load.stop().await;
    account(&sent, &origin);
    // A visitor has one connection, so that the kill can break one request of each.
    let broken = sent.iter().filter(|sent| sent.outcome.is_err()).count();
    assert!((1..=VISITORS).contains(&broken), "{broken} broken of {}", sent.len());
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    edge.stop();
}

/// Waits for some more good answers.
async fn traffic(load: &Load) {
    let before = load.answered();
    eventually("traffic", || load.answered() >= before + SOME).await;
}

/// Every request was answered once, or got an honest error, or broke; none ran twice.
fn account(sent: &[Sent], origin: &Origin) {
    for sent in sent {
        let times = origin.counters().times(&sent.id);
        match sent.outcome {
            Ok(200) => assert_eq!(times, 1, "{sent:?}"),
            Ok(502 | 503) | Err(_) => assert!(times <= 1, "{sent:?} ran {times} times"),
            Ok(_) => panic!("{sent:?}"),
        }
    }
}
