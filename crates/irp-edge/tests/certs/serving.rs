//! A certificate is swapped while visitors are connected.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use irp_edge::certs::{Certificate, Certificates, Source, Status, store::When};
use irp_testkit::acme::PebbleOptions;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::support::{Authority, LOOPBACK, Running, echo, issuing_root, listen_tls, visit};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A self-signed certificate that began so many days ago and ends in so many.
fn made(names: &[&str], began: u32, ends: u32) -> (rcgen::Certificate, KeyPair) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = (SystemTime::now() - DAY * began).into();
    params.not_after = (SystemTime::now() + DAY * ends).into();
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap(), key)
}

fn certificate(names: &[&str]) -> Certificate {
    let (certificate, key) = made(names, 1, 10);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Certificate::from_der(vec![certificate.der().clone()], key).unwrap()
}

#[tokio::test]
async fn a_certificate_that_is_due_is_served_until_its_successor_comes_and_no_connection_breaks() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let config = authority.config(&["alice.irp.test"], authority.zone());
    let store = authority.store();
    // The first order says where the certificate is kept; then one takes its place whose renewal is overdue.
    let mut edge = Running::start(config.clone(), store.clone());
    edge.ready().await;
    edge.stop().await;
    let (old, key) = made(&["alice.irp.test"], 70, 20);
    let name = &store.list("certificate-").await.unwrap()[0];
    let kept = serde_json::json!({ "chain_pem": old.pem(), "key_pem": key.serialize_pem() }).to_string();
    let _ = store.put(name, kept.as_bytes(), When::Always).await.unwrap();

    let certificates = Certificates::new();
    let address = listen_tls(SocketAddr::new(LOOPBACK, 0), certificates.clone()).await;
    // The first connection is there before the keeper is: the certificate is put in by hand.
    let held = Certificate::parse(&old.pem(), &key.serialize_pem().into()).unwrap();
    certificates.install(&held);
    let mut visitor = visit(address, "alice.irp.test", &old.pem()).await.unwrap();
    echo(&mut visitor).await;

    let clock = std::sync::Arc::new(irp_edge::certs::SystemClock);
    let mut edge = Running::start_with(config, store, certificates, clock);
    assert!(matches!(edge.ready().await, Status::Ready { source: Source::Ordered, .. }));
    let root = issuing_root(&authority.pebble).await;
    echo(&mut visit(address, "alice.irp.test", &root).await.unwrap()).await;
    echo(&mut visitor).await;
    assert!(visit(address, "alice.irp.test", &old.pem()).await.is_err(), "the old one is still served");
    assert_eq!(authority.pebble.orders(), 2);
    edge.stop().await;
}

#[test]
fn the_name_asked_for_decides_and_strangers_get_the_first_one() {
    let certificates = Certificates::new();
    assert!(certificates.is_empty());
    assert!(certificates.for_name(None).is_none());
    let (one, two) = (certificate(&["one.example"]), certificate(&["two.example", "*.two.example"]));
    certificates.install(&one);
    certificates.install(&two);
    let shown = |name: Option<&str>| certificates.for_name(name).unwrap().cert[0].clone();
    let (one, two): (CertificateDer<'_>, CertificateDer<'_>) = (one.leaf().clone(), two.leaf().clone());
    assert_eq!(shown(Some("one.example")), one);
    assert_eq!(shown(Some("TWO.example")), two);
    assert_eq!(shown(Some("a.two.example")), two);
    assert_eq!(shown(Some("b.a.two.example")), one);
    assert_eq!(shown(Some("stranger.example")), one);
    assert_eq!(shown(None), one);

    let renewed = certificate(&["one.example"]);
    certificates.install(&renewed);
    assert_eq!(certificates.for_name(None).unwrap().cert[0], *renewed.leaf());
}

#[test]
fn a_key_of_another_certificate_is_refused_and_no_key_is_shown() {
    let (one, key) = made(&["one.example"], 1, 1);
    let (_, other) = made(&["one.example"], 1, 1);
    let error = Certificate::parse(&one.pem(), &other.serialize_pem().into()).unwrap_err();
    assert!(error.to_string().contains("cannot be used with its key"), "{error}");
    let error =
        Certificate::parse(&one.pem(), &"-----BEGIN PRIVATE KEY-----\nhush\n".to_owned().into()).unwrap_err();
    assert!(!format!("{error:?}").contains("hush"));
    let good = Certificate::parse(&one.pem(), &key.serialize_pem().into()).unwrap();
    assert!(good.is_valid(SystemTime::now()) && !good.is_valid(SystemTime::now() + DAY * 2));
}
