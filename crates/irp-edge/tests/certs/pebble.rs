//! All three challenges against pebble, which validates in earnest and rejects one nonce in twenty.

use std::net::SocketAddr;

use irp_edge::certs::{Certificates, Challenge, HttpTokens, Source, Status, SystemClock};
use irp_testkit::{acme::PebbleOptions, dns::kind};

use super::support::{Authority, LOOPBACK, Running, echo, issuing_root, listen_http, listen_tls, visit};

const ANY: SocketAddr = SocketAddr::new(LOOPBACK, 0);

#[tokio::test]
async fn dns_01_gets_a_certificate_that_visitors_accept_and_leaves_no_record() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let names = ["alice.irp.test", "*.alice.irp.test"];
    let mut edge = Running::start(authority.config(&names, authority.zone()), authority.store());
    assert!(matches!(edge.ready().await, Status::Ready { source: Source::Ordered, .. }));

    let root = issuing_root(&authority.pebble).await;
    let address = listen_tls(ANY, edge.certificates.clone()).await;
    for name in ["alice.irp.test", "dev.alice.irp.test"] {
        let mut visitor = visit(address, name, &root).await.unwrap();
        echo(&mut visitor).await;
    }
    assert!(visit(address, "bob.irp.test", &root).await.is_err(), "the certificate is not for bob");

    let record = "_acme-challenge.alice.irp.test".to_owned();
    assert!(authority.dns.asked().contains(&(record.clone(), kind::TXT)));
    assert_eq!(authority.dns.txt_count(&record), 0, "the proof is still there");
    edge.stop().await;
}

#[tokio::test]
async fn tls_alpn_01_is_answered_by_the_listener_itself() {
    let certificates = Certificates::new();
    let address = listen_tls(ANY, certificates.clone()).await;
    let authority =
        Authority::start(PebbleOptions { tls_port: Some(address.port()), ..PebbleOptions::default() }).await;
    authority.dns.add_address("alice.irp.test", LOOPBACK);

    let challenge = Challenge::TlsAlpn01(certificates.clone());
    let config = authority.config(&["alice.irp.test"], challenge);
    let mut edge =
        Running::start_with(config, authority.store(), certificates, std::sync::Arc::new(SystemClock));
    edge.ready().await;
    let root = issuing_root(&authority.pebble).await;
    echo(&mut visit(address, "alice.irp.test", &root).await.unwrap()).await;
    edge.stop().await;
}

#[tokio::test]
async fn http_01_is_answered_from_the_token_table() {
    let tokens = HttpTokens::new();
    let address = listen_http(ANY, tokens.clone()).await;
    let authority =
        Authority::start(PebbleOptions { http_port: Some(address.port()), ..PebbleOptions::default() }).await;
    authority.dns.add_address("alice.irp.test", LOOPBACK);

    let config = authority.config(&["alice.irp.test"], Challenge::Http01(tokens));
    let mut edge = Running::start(config, authority.store());
    edge.ready().await;
    edge.stop().await;
}

#[tokio::test]
async fn a_restart_uses_the_certificate_that_is_there_even_without_the_authority() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let config = authority.config(&["alice.irp.test"], authority.zone());
    let store = authority.store();
    let mut edge = Running::start(config.clone(), store.clone());
    edge.ready().await;
    edge.stop().await;
    for _ in 0..3 {
        let mut edge = Running::start(config.clone(), store.clone());
        assert!(matches!(edge.ready().await, Status::Ready { source: Source::Cache, .. }));
        edge.stop().await;
    }
    assert_eq!(authority.pebble.orders(), 1);

    drop(authority.pebble);
    let mut edge = Running::start(config, store);
    assert!(matches!(edge.ready().await, Status::Ready { source: Source::Cache, .. }));
    edge.stop().await;
}

#[tokio::test]
async fn the_account_is_made_once_and_made_anew_when_the_authority_has_forgotten_it() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let store = authority.store();
    for names in [["alice.irp.test"], ["bob.irp.test"]] {
        let mut edge = Running::start(authority.config(&names, authority.zone()), store.clone());
        edge.ready().await;
        edge.stop().await;
    }
    let accounts = store.list("account-").await.unwrap();
    assert_eq!(accounts.len(), 1);
    assert_eq!(authority.pebble.accounts(), 1);

    // Another pebble behind the same URL would have no accounts: stand in an account that this one never made.
    let account = &accounts[0];
    let blob = store.get(account).await.unwrap().unwrap();
    let mut credentials: serde_json::Value = serde_json::from_slice(blob.bytes()).unwrap();
    let id = credentials["id"].as_str().unwrap().to_owned();
    credentials["id"] = format!("{id}77").into();
    store
        .put(account, credentials.to_string().as_bytes(), irp_edge::certs::store::When::Always)
        .await
        .map(drop)
        .unwrap();
    let mut edge = Running::start(authority.config(&["carol.irp.test"], authority.zone()), store.clone());
    edge.ready().await;
    edge.stop().await;
    assert_eq!(authority.pebble.accounts(), 2);
}
