//! Under which names a tunnel is found, who may pass, and what its person hears of those who may not.

use irp_client::Event;
use irp_edge::http::access::{Access, User};
use irp_testkit::origin::{Echoed, Origin};

use crate::{
    stage::{NAME, Options, Stage},
    way::{Tunnel, Way},
};

#[tokio::test]
async fn a_local_edge_is_found_under_its_other_names_too() {
    let origin = Origin::start();
    let tunnel = Tunnel::open(Way::Http2, origin.address()).await;
    let port = tunnel.stage.address.port();
    for host in ["127.0.0.1", "localhost", NAME] {
        let curl = tunnel.stage.curl().resolving("localhost", tunnel.stage.address);
        for version in ["--http1.1", "--http2"] {
            let reply = curl.clone().args([version]).get(&format!("https://{host}:{port}/x")).await.unwrap();
            assert_eq!(reply.status, 200, "{host} {version}");
            let echoed: Echoed = reply.json();
            assert_eq!(echoed.path, "/x");
        }
    }
    tunnel.close().await;
}

#[tokio::test]
async fn other_names_are_refused_and_nothing_internal_is_told() {
    let origin = Origin::start();
    let tunnel = Tunnel::open(Way::Http2, origin.address()).await;
    for (host, door, status) in [
        ("other.example", tunnel.stage.door(), 421),
        ("bob.localhost", tunnel.stage.door(), 421),
        ("other.example", tunnel.stage.door().without_sni(), 404),
        ("192.0.2.1", tunnel.stage.door().without_sni(), 404),
    ] {
        let mut wire = door.connect().await.unwrap();
        wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.unwrap();
        let reply = wire.response().await.unwrap();
        assert_eq!(reply.status, status, "{host}");
        for secret in [NAME, host, "127.0.0.1", &origin.port().to_string()] {
            assert!(!reply.text().contains(secret), "{host}: {}", reply.text());
        }
    }
    assert_eq!(origin.counters().seen(), 0);
    tunnel.close().await;
}

/// Waits until the client hears that the edge answered this path, and with what.
async fn heard(tunnel: &mut Tunnel, path: &str) -> (u16, String) {
    let answered = |event: &Event| match event {
        Event::AnsweredAtEdge { host, path: found, status, reason, .. } if found == path => {
            assert_eq!(host, NAME);
            Some((*status, reason.clone()))
        }
        _ => None,
    };
    tunnel.client.event("answered at the edge", answered).await
}

#[tokio::test]
async fn who_is_not_on_the_list_stays_outside_and_the_person_hears_of_it() {
    let origin = Origin::start();
    let access = Access::new(vec!["192.0.2.0/24".parse().unwrap()], Vec::new());
    let options = Options { access, ..Options::default() };
    let mut tunnel = Tunnel::with(Way::Http2, origin.address(), options, |_| {}).await;
    let curl = tunnel.stage.curl().args(["-H", "X-Forwarded-For: 192.0.2.1"]);
    assert_eq!(curl.get(&tunnel.stage.url("/stranger?secret")).await.unwrap().status, 403);
    let (status, reason) = heard(&mut tunnel, "/stranger").await;
    assert_eq!(status, 403);
    assert!(!reason.is_empty());
    assert_eq!(origin.counters().connections(), 0);
    tunnel.close().await;

    let access = Access::new(vec!["127.0.0.0/8".parse().unwrap()], Vec::new());
    let options = Options { access, ..Options::default() };
    let tunnel = Tunnel::with(Way::Http2, origin.address(), options, |_| {}).await;
    assert_eq!(tunnel.stage.curl().get(&tunnel.stage.url("/")).await.unwrap().status, 200);
    tunnel.close().await;
}

#[tokio::test]
async fn a_password_is_asked_for_and_stays_at_the_edge() {
    let origin = Origin::start();
    let users = vec![User::new("alice", "wonderland").unwrap()];
    let options = Options { access: Access::new(Vec::new(), users), ..Options::default() };
    let mut tunnel = Tunnel::with(Way::Lanes, origin.address(), options, |_| {}).await;
    let curl = tunnel.stage.curl();
    let reply = curl.get(&tunnel.stage.url("/without")).await.unwrap();
    assert_eq!(reply.status, 401);
    assert!(reply.value("www-authenticate").unwrap().starts_with("Basic realm="));
    assert_eq!(heard(&mut tunnel, "/without").await.0, 401);
    let wrong = curl.clone().args(["--user", "alice:builder"]);
    assert_eq!(wrong.get(&tunnel.stage.url("/wrong")).await.unwrap().status, 401);
    // An upgrade is no way around.
    assert!(tunnel.stage.door().websocket("/ws", &[]).await.is_err());
    assert_eq!(origin.counters().seen(), 0);

    let right = curl.args(["--user", "alice:wonderland"]);
    let echoed: Echoed = right.get(&tunnel.stage.url("/right")).await.unwrap().json();
    assert!(echoed.values("authorization").is_empty());
    tunnel.close().await;
}

#[tokio::test]
async fn the_person_hears_of_every_request_and_how_it_ended() {
    let origin = Origin::start();
    let mut tunnel = Tunnel::open(Way::Lanes, origin.address()).await;
    let curl = tunnel.stage.curl();
    curl.get(&tunnel.stage.url("/bytes/1000?secret")).await.unwrap();
    let over = |event: &Event| match event {
        Event::Exchange(finished) => Some(finished.clone()),
        _ => None,
    };
    let finished = tunnel.client.event("an exchange", over).await;
    assert_eq!((finished.method.as_str(), finished.path.as_str()), ("GET", "/bytes/1000"));
    assert!(finished.host.starts_with(NAME), "{finished:?}");
    assert_eq!((finished.status.unwrap().as_u16(), finished.bytes), (200, 1000));
    assert!(finished.whole && !finished.failed && !finished.upgrade, "{finished:?}");
    drop(origin);
    curl.get(&tunnel.stage.url("/gone")).await.unwrap();
    let finished = tunnel.client.event("an exchange", over).await;
    assert_eq!((finished.status.unwrap().as_u16(), finished.failed), (502, true));
    tunnel.close().await;
}

#[tokio::test]
async fn a_tunnel_that_leads_back_to_its_edge_is_noticed() {
    let stage = Stage::new().await;
    let mut config = stage.config(&format!("https://localhost:{}", stage.address.port()));
    config.upstream_trust = irp_client::UpstreamTrust::Insecure;
    let mut client = crate::stage::Client::start(config);
    client.connected().await;
    assert_eq!(stage.curl().get(&stage.url("/")).await.unwrap().status, 508);
    client.stop().await.unwrap();
    stage.stop().await;
}
