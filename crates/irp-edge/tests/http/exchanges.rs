//! Ordinary exchanges: what goes in, what comes out, and that nothing is held back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use irp_testkit::{
    origin::{Echoed, Manner, Origin, RudeOrigin, Uploaded, pattern, pattern_sha256, sha256},
    patience::eventually,
    visitor::open_body,
};

use crate::stage::{NAME, Stage};

fn request2(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("https://{NAME}{path}"))
}

fn empty() -> irp_testkit::origin::AnyBody {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()
}

#[tokio::test]
async fn the_upstream_learns_who_asks_for_what() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let reply = stage
        .get(
            "/a//b?x=%20y",
            "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nIrp-Verified: slack\r\nirp_x: 1\r\n\
             Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: a\r\nX-Kept: b\r\n",
        )
        .await;
    assert_eq!(reply.status, 200);
    let seen: Echoed = reply.json();
    assert_eq!((seen.path.as_str(), seen.query.as_deref()), ("/a//b", Some("x=%20y")));
    assert_eq!(seen.version, "HTTP/1.1");
    for (name, values) in [
        ("host", &[NAME][..]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("x-forwarded-proto", &["https"]),
        ("x-forwarded-host", &[NAME]),
        ("x-forwarded-port", &["443"]),
        ("forwarded", &["for=127.0.0.1;host=app.example;proto=https"]),
        ("cdn-loop", &["irp-0000000000000007"]),
        ("x-kept", &["a", "b"]),
        ("irp-verified", &[]),
        ("irp_x", &[]),
        ("x-mine", &[]),
        ("keep-alive", &[]),
        ("connection", &[]),
    ] {
        assert_eq!(seen.values(name), values, "{name}");
    }
}

#[tokio::test]
async fn http2_visitors_get_the_same() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let mut http2 = stage.door2().http2().await.unwrap();
    let mut request = request2("GET", "/x?y").body(empty()).unwrap();
    for crumb in ["a=1", "b=2", "c=3"] {
        request.headers_mut().append("cookie", crumb.parse().unwrap());
    }
    let response = http2.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let seen: Echoed =
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(seen.values("host"), [NAME]);
    assert_eq!(seen.values("x-forwarded-host"), [NAME]);
    assert_eq!(seen.values("cookie"), ["a=1; b=2; c=3"]);
    assert_eq!((seen.path.as_str(), seen.query.as_deref(), seen.length), ("/x", Some("y"), 0));
    assert!(seen.values("transfer-encoding").is_empty() && seen.values("content-length").is_empty());
}

#[tokio::test]
async fn one_connection_carries_many_requests_and_so_does_the_forward() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let mut wire = stage.door().connect().await.unwrap();
    for turn in 0..20 {
        wire.send(format!("POST /echo/{turn} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 3\r\n\r\nabc"))
            .await
            .unwrap();
        let seen: Echoed = wire.response().await.unwrap().json();
        assert_eq!((seen.path, seen.body.as_deref()), (format!("/echo/{turn}"), Some("abc")));
    }
    // A connection may still be busy with the end of the exchange before when the next request comes.
    assert!(origin.counters().connections() <= 2, "{}", origin.counters().connections());
}

#[tokio::test]
async fn head_204_and_304_have_no_body_and_the_right_length() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let mut wire = stage.door().connect().await.unwrap();
    for (method, path, status, length) in [
        ("HEAD", "/bytes/1000", 200, Some("1000")),
        ("HEAD", "/bytes/1000?chunked", 200, None),
        ("GET", "/status/204", 204, None),
        ("GET", "/status/304", 304, None),
        ("HEAD", "/nobody", 200, Some("")),
        ("GET", "/bytes/0", 200, Some("0")),
    ] {
        wire.send(format!("{method} {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
        let reply = wire.response_to(method).await.unwrap();
        assert_eq!((reply.status, reply.body.len()), (status, 0), "{method} {path}");
        if length != Some("") {
            assert_eq!(reply.value("content-length"), length, "{method} {path}: {:?}", reply.headers);
        }
    }
    let mut http2 = stage.door2().http2().await.unwrap();
    for (method, path, length) in [
        ("HEAD", "/bytes/1000", Some("1000")),
        ("HEAD", "/bytes/9?chunked", None),
        ("GET", "/status/304", None),
    ] {
        let response = http2.send_request(request2(method, path).body(empty()).unwrap()).await.unwrap();
        let found = response.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(found.as_deref(), length, "{method} {path} over HTTP/2");
    }
}

#[tokio::test]
async fn http_1_0_visitors_get_no_chunks() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(format!("GET /bytes/5000?chunked HTTP/1.0\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
    let reply = wire.response().await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 5000));
    assert_eq!(reply.value("transfer-encoding"), None);
    assert!(wire.read_some().await.unwrap().is_empty(), "the connection ends with the answer");
}

#[tokio::test]
async fn answers_lose_what_belongs_to_the_hop_and_to_irp() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let path = "/headers?irp-failure2=x&irp_y=1&keep-alive=timeout=5&proxy-authenticate=Basic&set-cookie=a=1&set-cookie=b=2";
    let reply = stage.get(path, "").await;
    assert_eq!(reply.values("set-cookie"), ["a=1", "b=2"]);
    for name in ["irp-failure2", "irp_y", "keep-alive", "proxy-authenticate"] {
        assert_eq!(reply.value(name), None, "{name}");
    }
}

#[tokio::test]
async fn events_come_when_they_are_sent() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let mut wire = stage.door().connect().await.unwrap();
    let before = Instant::now();
    wire.send(format!("GET /sse?count=2&interval=5000 HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
    assert_eq!(wire.head().await.unwrap().status, 200);
    let first = String::from_utf8(wire.read_some().await.unwrap()).unwrap();
    assert!(first.contains("data: 0") && before.elapsed() < Duration::from_secs(4), "{first}");
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let mut http2 = stage.door2().http2().await.unwrap();
    let (sender, body) = open_body();
    let response = http2.send_request(request2("POST", "/mirror").body(body).unwrap()).await.unwrap();
    let mut back = response.into_body();
    for word in ["one", "two", "three"] {
        sender.send(Ok(Frame::data(Bytes::from(word)))).await.unwrap();
        let frame = back.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
    }
    drop(sender);
    assert!(back.collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn long_bodies_arrive_whole() {
    const LENGTH: u64 = 20_000_000;
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let mut http2 = stage.door2().http2().await.unwrap();
    let upload = request2("POST", "/upload").body(pattern(LENGTH)).unwrap();
    let reply = http2.send_request(upload).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let seen: Uploaded = serde_json::from_slice(&reply).unwrap();
    assert_eq!((seen.length, seen.sha256), (LENGTH, pattern_sha256(LENGTH)));
    for path in ["bytes/20000000", "bytes/20000000?chunked"] {
        let reply = stage.get(&format!("/{path}"), "").await;
        assert_eq!(sha256(&reply.body), pattern_sha256(LENGTH), "{path}");
    }
}

#[tokio::test]
async fn trailers_pass() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let reply = stage.get("/trailers", "TE: trailers\r\nConnection: TE\r\n").await;
    assert_eq!(reply.body, b"hello");
    assert_eq!(reply.trailers, [("x-checksum".to_owned(), "5d41402a".to_owned())]);
    let mut http2 = stage.door2().http2().await.unwrap();
    let request = request2("GET", "/trailers").header("te", "trailers").body(empty()).unwrap();
    let response = http2.send_request(request).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-checksum"], "5d41402a");
}

#[tokio::test]
async fn expect_continue_is_answered_when_the_body_is_wanted() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(format!(
        "POST /echo HTTP/1.1\r\nHost: {NAME}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    ))
    .await
    .unwrap();
    assert_eq!(wire.head().await.unwrap().status, 100);
    wire.send("abc").await.unwrap();
    let seen: Echoed = wire.response().await.unwrap().json();
    assert_eq!(seen.body.as_deref(), Some("abc"));
}

#[tokio::test]
async fn interim_answers_are_dropped() {
    let origin = RudeOrigin::start(Manner::EarlyHints);
    let stage = Stage::with(origin.address()).await;
    let reply = stage.get("/", "").await;
    assert_eq!((reply.status, reply.text().as_str(), reply.interim.len()), (200, "hinted", 0));
}

#[tokio::test]
async fn a_visitor_who_leaves_cancels_the_request() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(format!("GET /slow/60000 HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
    eventually("the request arrives", || origin.counters().seen() == 1).await;
    wire.reset().unwrap();
    eventually("it is cancelled", || origin.counters().cancelled() == 1).await;

    let mut http2 = stage.door2().http2().await.unwrap();
    let sent = tokio::spawn(http2.send_request(request2("GET", "/slow/60000").body(empty()).unwrap()));
    eventually("the request arrives", || origin.counters().seen() == 2).await;
    sent.abort();
    eventually("it is cancelled", || origin.counters().cancelled() == 2).await;
    eventually("nothing is in flight", || stage.service.in_flight() == 0 && stage.route.in_flight() == 0)
        .await;
    assert_eq!(stage.heard.all().iter().filter(|exchange| exchange.status.is_none()).count(), 2);
}

#[tokio::test]
async fn every_exchange_is_told() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    stage.get("/bytes/1000?q", "").await;
    eventually("it is told", || stage.heard.all().len() == 1).await;
    let exchange = stage.heard.all().remove(0);
    assert_eq!(exchange.host.unwrap().as_str(), NAME);
    assert_eq!((exchange.status, exchange.bytes), (Some(StatusCode::OK), 1000));
    assert_eq!(exchange.target.path_and_query().unwrap(), "/bytes/1000?q");
    assert!(exchange.complete && !exchange.stopped_at_edge && exchange.reason.is_none());
}
