//! A second authority: Caddy's `acme_server`, on addresses of its own so that ports 53, 80 and 443 are free.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use irp_edge::certs::{AcmeConfig, Certificates, Challenge, FileStore, HttpTokens, Names, SystemClock};
use irp_testkit::{
    acme::{CaddyCa, CaddyOptions},
    dns::Responder,
};
use std::sync::Arc;

use super::support::{DeadZone, Running, Zone, echo, listen_http, listen_tls, visit};

/// Caddy, and the machine that it validates: an address of 127.83.0.0/16 for each test.
struct Site {
    dir: tempfile::TempDir,
    caddy: CaddyCa,
    address: IpAddr,
    dns: Arc<Responder>,
}

impl Site {
    async fn start(number: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(127, 64 | number, high, low.max(1)));
        let dns = Arc::new(Responder::bind(SocketAddr::new(address, 53)).await.unwrap());
        dns.add_address("alice.irp.test", address);
        let caddy = CaddyCa::start(dir.path(), &CaddyOptions { hosts: Vec::new(), dns: address }).unwrap();
        Self { dir, caddy, address, dns }
    }

    fn config(&self, challenge: Challenge) -> AcmeConfig {
        AcmeConfig {
            directory_url: self.caddy.directory_url.clone(),
            contact: None,
            extra_roots_pem: Some(self.root()),
            challenge,
            names: Names::new(["alice.irp.test"]).unwrap(),
        }
    }

    fn root(&self) -> String {
        std::fs::read_to_string(&self.caddy.root_pem).unwrap()
    }

    fn store(&self) -> Arc<FileStore> {
        Arc::new(FileStore::open(&self.dir.path().join("store")).unwrap())
    }
}

#[tokio::test]
async fn dns_01() {
    let site = Site::start(1).await;
    let challenge = Challenge::Dns01(Arc::new(Zone { responder: site.dns.clone() }));
    let mut edge = Running::start(site.config(challenge), site.store());
    edge.ready().await;
    edge.stop().await;
}

#[tokio::test]
async fn tls_alpn_01_and_then_visitors() {
    let site = Site::start(2).await;
    let certificates = Certificates::new();
    let address = listen_tls(SocketAddr::new(site.address, 443), certificates.clone()).await;
    let config = site.config(Challenge::TlsAlpn01(certificates.clone()));
    let mut edge = Running::start_with(config, site.store(), certificates, Arc::new(SystemClock));
    edge.ready().await;
    echo(&mut visit(address, "alice.irp.test", &site.root()).await.unwrap()).await;
    edge.stop().await;
}

#[tokio::test]
async fn http_01() {
    let site = Site::start(3).await;
    let tokens = HttpTokens::new();
    listen_http(SocketAddr::new(site.address, 80), tokens.clone()).await;
    let mut edge = Running::start(site.config(Challenge::Http01(tokens)), site.store());
    edge.ready().await;
    edge.stop().await;
}

#[tokio::test]
async fn a_failed_challenge_that_stays_pending_is_a_failure_all_the_same() {
    let site = Site::start(4).await;
    let mut edge = Running::start(site.config(Challenge::Dns01(Arc::new(DeadZone))), site.store());
    let (_, why) = edge.waiting().await;
    assert!(why.contains("could not validate alice.irp.test"), "{why}");
    edge.stop().await;
}
