//! Every kind of upstream, and the rude ones.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use irp_client::{Timeouts, UpstreamTrust};
use irp_testkit::{
    authority::Authority,
    origin::{Bind, Echoed, GRPC_ECHO, GrpcOrigin, Manner, Messages, Options, Origin, RudeOrigin, message},
};
use irp_wire::headers::{FAILURE, Failure};
use tokio::sync::mpsc;

use crate::edge::{Client, Edge, HOST, Session, Setup, bytes, channel_body, connected, full, get, soon};

async fn with(upstream: &str, change: impl FnOnce(&mut Setup)) -> (Edge, Client, Session) {
    let edge = Edge::start().await;
    let mut setup = Setup::new(&edge, upstream);
    change(&mut setup);
    let client = setup.start();
    let session = edge.accept_session().await;
    (edge, client, session)
}

#[tokio::test]
async fn https_wants_a_trusted_certificate_or_to_be_told_otherwise() {
    let authority = Authority::new();
    let tls = Some(authority.server(&["localhost"], &["http/1.1"]));
    let origin = Origin::with(Options { tls, ..Options::default() }).unwrap();
    let upstream = format!("https://localhost:{}", origin.port());

    let (_edge, _client, session) = with(&upstream, |_| {}).await;
    let response = session.get("/").await;
    assert_eq!(response.status(), 502);
    assert_eq!(Failure::from_header(&response.headers()[FAILURE]).0, Failure::Broken);

    for trust in [UpstreamTrust::Authority(authority.pem_file().to_owned()), UpstreamTrust::Insecure] {
        let (_edge, _client, session) = with(&upstream, |setup| setup.config.upstream_trust = trust).await;
        assert_eq!(session.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let origin = Origin::with(Options { bind: Bind::Unix(socket.clone()), ..Options::default() }).unwrap();
    let (_edge, _client, session) = connected(&format!("unix:{}", socket.display())).await;
    assert_eq!(bytes(session.get("/bytes/10").await).await.len(), 10);
    assert_eq!(origin.counters().seen(), 1);
}

#[tokio::test]
async fn the_host_header_is_preserved_rewritten_or_fixed() {
    let origin = Origin::start();
    let own = format!("localhost:{}", origin.port());
    for (choice, host) in [("preserve", HOST), ("rewrite", own.as_str()), ("app.test", "app.test")] {
        let port = origin.port().to_string();
        let (_edge, _client, session) =
            with(&port, |setup| setup.config.host_header = choice.parse().unwrap()).await;
        let echoed: Echoed = serde_json::from_slice(&bytes(session.get("/").await).await).unwrap();
        assert_eq!(echoed.values("host"), [host]);
    }
}

#[tokio::test]
async fn h2c_is_spoken_when_asked_for() {
    let origin = Origin::start_h2c();
    let (_edge, _client, session) = connected(&format!("h2c://{}", origin.address())).await;
    let echoed: Echoed = serde_json::from_slice(&bytes(session.get("/a?b").await).await).unwrap();
    assert_eq!((echoed.version.as_str(), echoed.path.as_str()), ("HTTP/2.0", "/a"));
    assert_eq!(echoed.authority.as_deref(), Some(HOST));
    for _ in 0..5 {
        bytes(session.get("/bytes/10").await).await;
    }
    assert_eq!(origin.counters().connections(), 1);
}

#[tokio::test]
async fn grpc_streams_both_ways_and_ends_with_trailers() {
    let origin = GrpcOrigin::start();
    // Without `h2c`: gRPC cannot do without HTTP/2, so the client knows.
    let (_edge, _client, session) = connected(&origin.address().to_string()).await;
    let (parts, body) = mpsc::channel(1);
    let request = Request::post(format!("https://{HOST}{GRPC_ECHO}/Stream"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-echo", "1")
        .body(channel_body(body))
        .unwrap();
    let mut response = session.send(request).await;
    let mut messages = Messages::default();
    for text in ["one", "two"] {
        parts.send(message(text.as_bytes())).await.unwrap();
        let answer = loop {
            if let Some(answer) = messages.take() {
                break answer;
            }
            let frame = soon(response.body_mut().frame()).await.unwrap().unwrap();
            messages.feed(frame.data_ref().unwrap());
        };
        assert_eq!(answer, text);
    }
    drop(parts);
    let trailers = soon(response.into_body().collect()).await.unwrap().trailers().cloned().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_late() {
    let origin = RudeOrigin::start(Manner::NeverAnswers);
    let head = Duration::from_millis(200);
    let (_edge, _client, session) = with(&origin.address().to_string(), |setup| {
        setup.config.timeouts = Timeouts { upstream_head: head, ..Timeouts::default() };
    })
    .await;
    let response = session.get("/").await;
    assert_eq!(response.status(), 504);
    assert_eq!(Failure::from_header(&response.headers()[FAILURE]).0, Failure::TimedOut);
}

#[tokio::test]
async fn a_slow_upload_is_not_late() {
    let origin = Origin::start();
    let head = Duration::from_millis(600);
    let (_edge, _client, session) = with(&origin.port().to_string(), |setup| {
        setup.config.timeouts = Timeouts { upstream_head: head, ..Timeouts::default() };
    })
    .await;
    let (parts, body) = mpsc::channel(1);
    let request = Request::post(format!("https://{HOST}/upload")).body(channel_body(body)).unwrap();
    tokio::spawn(async move {
        // Longer in all than the answer may take, never longer between two parts.
        for _ in 0..8 {
            parts.send(Bytes::from_static(b"part")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    });
    assert_eq!(session.send(request).await.status(), 200);
}

#[tokio::test]
async fn an_upload_that_is_refused_from_its_head_is_never_sent() {
    let origin = Origin::start();
    let (_edge, _client, session) = connected(&origin.port().to_string()).await;
    for (path, status, received) in [("/refuse/417", 417, 0), ("/upload", 200, 100_000)] {
        let request = Request::post(format!("https://{HOST}{path}"))
            .header("expect", "100-continue")
            .body(full(vec![1; 100_000]))
            .unwrap();
        let response = session.send(request).await;
        assert_eq!(response.status(), status);
        bytes(response).await;
        assert_eq!(origin.counters().received(), received);
    }
}

#[tokio::test]
async fn no_rude_upstream_harms_the_tunnel() {
    let head = Duration::from_millis(500);
    for manner in Manner::ALL {
        let origin = RudeOrigin::start(manner);
        let (_edge, _client, session) = with(&origin.address().to_string(), |setup| {
            setup.config.timeouts = Timeouts { upstream_head: head, ..Timeouts::default() };
        })
        .await;
        for _ in 0..2 {
            // A stream that is reset before its head left is for the edge to answer.
            let Ok(response) = soon(session.sender.clone().send_request(get("/"))).await else {
                continue;
            };
            assert!(!response.headers().contains_key("connection"), "{manner:?}");
            let _ = tokio::time::timeout(head, response.into_body().collect()).await;
        }
        assert!(!session.sender.is_closed(), "{manner:?} ended the tunnel");
    }
}

#[tokio::test]
async fn a_tunnel_that_ends_in_itself_is_a_loop() {
    let edge = Edge::start().await;
    let client = Setup::new(&edge, &edge.address().to_string()).start();
    let session = edge.accept_session().await;
    let response = session.get("/").await;
    assert_eq!(response.status(), 508);
    assert_eq!(Failure::from_header(&response.headers()[FAILURE]).0, Failure::Loop);
    drop(client);
}

#[tokio::test]
async fn stalled_downloads_do_not_hold_up_small_requests() {
    let origin = Origin::start();
    let (_edge, _client, session) = connected(&origin.port().to_string()).await;
    let mut stalled = Vec::new();
    for _ in 0..6 {
        stalled.push(session.get("/bytes/536870912").await);
    }
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(bytes(session.get("/bytes/5").await).await.len(), 5);
    }
    assert_eq!(bytes(session.get("/bytes/4194304").await).await.len(), 4_194_304);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(stalled);
}

#[tokio::test]
async fn stalled_uploads_do_not_hold_up_small_requests() {
    let origin = RudeOrigin::start(Manner::NeverReads);
    let (_edge, _client, session) = connected(&origin.address().to_string()).await;
    let mut stalled = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mut sender = session.sender.clone();
        let body = full(vec![0; 64 * 1024 * 1024]);
        let request = Request::post(format!("https://{HOST}/")).body(body).unwrap();
        stalled.spawn(async move { sender.send_request(request).await.is_ok() });
    }
    irp_testkit::patience::eventually("the uploads to begin", || origin.counters().connections() == 6).await;
    // A small request must still get as far as the upstream, which is all that this one lets it.
    let mut sender = session.sender.clone();
    let probe = tokio::spawn(async move { sender.send_request(get("/")).await.is_ok() });
    irp_testkit::patience::eventually("the small request to pass", || origin.counters().connections() == 7)
        .await;
    probe.abort();
}

#[tokio::test]
async fn a_thousand_visitors_who_leave_at_once_do_not_end_the_tunnel() {
    let origin = Origin::start();
    let (_edge, _client, session) = connected(&origin.port().to_string()).await;
    for round in 0..5 {
        let mut visitors = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let mut sender = session.sender.clone();
            visitors.spawn(async move { sender.send_request(get("/slow/600000")).await.is_ok() });
        }
        tokio::task::yield_now().await;
        visitors.shutdown().await;
        assert_eq!(session.get("/").await.status(), 200, "round {round}");
    }
}
