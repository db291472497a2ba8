//! Every kind of program behind a tunnel, and what it is told about its visitors.

use irp_client::UpstreamTrust;
use irp_testkit::{
    authority::Authority,
    origin::{Bind, Echoed, Options as Program, Origin},
};

use crate::{
    stage::{NAME, Options},
    way::{Tunnel, Way},
};

#[tokio::test]
async fn a_program_with_tls_must_be_trusted_or_the_person_says_otherwise() {
    let authority = Authority::new();
    let tls = Some(authority.server(&["localhost"], &["http/1.1"]));
    let origin = Origin::with(Program { tls, ..Program::default() }).unwrap();
    let upstream = format!("https://localhost:{}", origin.port());
    let own = UpstreamTrust::Authority(authority.pem_file().to_owned());
    for (trust, status) in [(UpstreamTrust::default(), 502), (own, 200), (UpstreamTrust::Insecure, 200)] {
        let tunnel = Tunnel::with(Way::Http2, &upstream, Options::default(), |config| {
            config.upstream_trust = trust;
        })
        .await;
        assert_eq!(tunnel.stage.curl().get(&tunnel.stage.url("/")).await.unwrap().status, status);
        tunnel.close().await;
    }
    assert_eq!(origin.counters().seen(), 2);
}

#[tokio::test]
async fn a_program_may_listen_at_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let upstream = format!("unix:{}", path.display());
    let tunnel = Tunnel::open(Way::Lanes, &upstream).await;
    let curl = tunnel.stage.curl();
    assert_eq!(curl.get(&tunnel.stage.url("/")).await.unwrap().status, 502);
    let _origin = Origin::with(Program { bind: Bind::Unix(path), ..Program::default() }).unwrap();
    assert_eq!(curl.get(&tunnel.stage.url("/bytes/10")).await.unwrap().body.len(), 10);
    tunnel.close().await;
}

#[tokio::test]
async fn a_program_may_speak_http2_without_tls() {
    let origin = Origin::start_h2c();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, format!("h2c://{}", origin.address())).await;
        let curl = tunnel.stage.curl().args(["--data", "hello"]);
        let echoed: Echoed = curl.get(&tunnel.stage.url("/a?b")).await.unwrap().json();
        assert_eq!((echoed.version.as_str(), echoed.body.as_deref()), ("HTTP/2.0", Some("hello")), "{way:?}");
        assert_eq!(echoed.authority, Some(format!("{NAME}:{}", tunnel.stage.address.port())), "{way:?}");
        tunnel.close().await;
    }
}

#[tokio::test]
async fn the_host_is_preserved_rewritten_or_fixed() {
    let origin = Origin::start();
    for way in Way::BOTH {
        for choice in ["preserve", "rewrite", "app.test"] {
            let upstream = format!("localhost:{}", origin.port());
            let tunnel = Tunnel::with(way, &upstream, Options::default(), |config| {
                config.host_header = choice.parse().unwrap();
            })
            .await;
            let public = format!("{NAME}:{}", tunnel.stage.address.port());
            let host = match choice {
                "preserve" => &public,
                "rewrite" => &upstream,
                fixed => fixed,
            };
            let echoed: Echoed = tunnel.stage.curl().get(&tunnel.stage.url("/")).await.unwrap().json();
            assert_eq!(echoed.values("host"), [host], "{way:?} {choice}");
            assert_eq!(echoed.values("x-forwarded-host"), [public.as_str()], "{way:?} {choice}");
            tunnel.close().await;
        }
    }
}

#[tokio::test]
async fn what_strangers_say_about_themselves_does_not_arrive() {
    let origin = Origin::start();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        wire.send(format!(
            "GET /a//b?x=%20y HTTP/1.1\r\nHost: {NAME}\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n\
             X_Forwarded_For: 10.0.0.1\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
             Irp-Verified: slack\r\nirp_verified: slack\r\nIrp-Upgrade: websocket\r\nIrp-Status: 200\r\n\
             Irp-Failure: refused\r\nX-Kept: a\r\nX-Kept: b\r\nCookie: a=1\r\n\r\n"
        ))
        .await
        .unwrap();
        let echoed: Echoed = wire.response().await.unwrap().json();
        assert_eq!((echoed.path.as_str(), echoed.query.as_deref()), ("/a//b", Some("x=%20y")), "{way:?}");
        for (name, values) in [
            ("host", &[NAME][..]),
            ("x-forwarded-for", &["127.0.0.1"]),
            ("x-forwarded-proto", &["https"]),
            ("x-forwarded-host", &[NAME]),
            ("forwarded", &["for=127.0.0.1;host=alice.localhost;proto=https"]),
            ("x-kept", &["a", "b"]),
            ("cookie", &["a=1"]),
            ("x_forwarded_for", &[]),
            ("x-mine", &[]),
            ("keep-alive", &[]),
            ("connection", &[]),
        ] {
            assert_eq!(echoed.values(name), values, "{way:?} {name}");
        }
        let internal: Vec<_> = echoed.headers.iter().filter(|(name, _)| is_internal(name)).collect();
        assert!(internal.is_empty(), "{way:?}: {internal:?}");
        tunnel.close().await;
    }
}

#[tokio::test]
async fn what_programs_say_in_irps_name_does_not_get_out() {
    let origin = Origin::start();
    let path = "/headers?irp-failure=refused&irp_y=1&irp-upgrade=websocket&irp-status=500&irp-verified=slack\
                &keep-alive=timeout=5&proxy-authenticate=Basic&set-cookie=a=1&set-cookie=b=2";
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        for more in ["", upgrade] {
            let mut wire = tunnel.stage.door().connect().await.unwrap();
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{more}\r\n")).await.unwrap();
            let reply = wire.response().await.unwrap();
            assert_eq!((reply.status, reply.text().as_str()), (200, "headers\n"), "{way:?}");
            assert_eq!(reply.values("set-cookie"), ["a=1", "b=2"], "{way:?}");
            let hop = |name: &str| name == "keep-alive" || name == "proxy-authenticate";
            let stray: Vec<_> =
                reply.headers.iter().filter(|(name, _)| is_internal(name) || hop(name)).collect();
            assert!(stray.is_empty(), "{way:?}: {stray:?}");
        }
        tunnel.close().await;
    }
}

fn is_internal(name: &str) -> bool {
    let name = name.to_lowercase().replace('_', "-");
    name.starts_with("irp-")
}
