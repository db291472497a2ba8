//! The friendly program answers as its table of routes promises, over plain TCP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::BodyExt;
use irp_testkit::{
    origin::{Bind, Echoed, Options, Origin, Uploaded, nothing, pattern, pattern_sha256, sha256, whole},
    patience::{eventually, eventually_blocking},
    visitor::{Door, Reply, Wire},
};
use tokio_tungstenite::tungstenite::Message;

async fn wire(origin: &Origin) -> Wire {
    Door::plain(origin.address()).connect().await.unwrap()
}

async fn ask(origin: &Origin, method: &str, path: &str, rest: &str) -> Reply {
    let mut wire = wire(origin).await;
    let rest = if rest.is_empty() { "\r\n" } else { rest };
    wire.send(format!("{method} {path} HTTP/1.1\r\nHost: origin.localhost\r\n{rest}")).await.unwrap();
    wire.response_to(method).await.unwrap()
}

#[tokio::test]
async fn echo_shows_the_request_as_it_came() {
    let origin = Origin::start();
    let rest = "X-B: 1\r\nx-a: 2\r\nX-B: 3\r\nContent-Length: 2\r\n\r\nhi";
    let echoed: Echoed = ask(&origin, "PUT", "/p/q?r=s&t", rest).await.json();
    assert_eq!((echoed.method.as_str(), echoed.path.as_str()), ("PUT", "/p/q"));
    assert_eq!(echoed.query.as_deref(), Some("r=s&t"));
    assert_eq!(echoed.version, "HTTP/1.1");
    let names: Vec<_> = echoed.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["host", "x-b", "x-b", "x-a", "content-length"]);
    assert_eq!(echoed.values("x-b"), ["1", "3"]);
    assert_eq!((echoed.length, echoed.body.as_deref()), (2, Some("hi")));
    assert_eq!(echoed.sha256, sha256(b"hi"));
}

#[tokio::test]
async fn bytes_have_the_length_and_the_hash_of_the_pattern() {
    let origin = Origin::start();
    let sized = ask(&origin, "GET", "/bytes/300000", "").await;
    assert_eq!(sized.value("content-length"), Some("300000"));
    let chunked = ask(&origin, "GET", "/bytes/300000?chunked", "").await;
    assert_eq!(chunked.value("transfer-encoding"), Some("chunked"));
    for reply in [sized, chunked] {
        assert_eq!((reply.body.len(), sha256(&reply.body)), (300_000, pattern_sha256(300_000)));
    }
    eventually("both to be counted", || origin.counters().finished() == 2).await;
}

#[tokio::test]
async fn uploads_are_counted_and_hashed() {
    let origin = Origin::start_h2c();
    let mut http2 = Door::plain(origin.address()).http2().await.unwrap();
    let request = Request::post("http://x/upload").body(pattern(1_000_000)).unwrap();
    let body = http2.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let uploaded: Uploaded = serde_json::from_slice(&body).unwrap();
    assert_eq!(uploaded, Uploaded { length: 1_000_000, sha256: pattern_sha256(1_000_000) });
    assert_eq!(origin.counters().received(), 1_000_000);
}

#[tokio::test]
async fn a_mirror_answers_while_the_upload_runs() {
    let origin = Origin::start();
    let mut wire = wire(&origin).await;
    wire.send("POST /mirror HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await
        .unwrap();
    assert_eq!(wire.head().await.unwrap().status, 200);
    assert_eq!(wire.read(8).await.unwrap(), b"3\r\nabc\r\n");
    wire.send("0\r\n\r\n").await.unwrap();
    assert_eq!(wire.read(5).await.unwrap(), b"0\r\n\r\n");
}

#[tokio::test]
async fn statuses_without_a_body_have_none() {
    let origin = Origin::start();
    for status in [204, 304] {
        let reply = ask(&origin, "GET", &format!("/status/{status}"), "").await;
        assert_eq!((reply.status, reply.value("content-length")), (status, None));
    }
    let reply = ask(&origin, "GET", "/status/418", "").await;
    assert_eq!((reply.status, reply.text()), (418, "status 418\n".to_owned()));
    let mut wire = wire(&origin).await;
    wire.send("HEAD /bytes/7 HTTP/1.1\r\nHost: x\r\n\r\nGET /bytes/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let head = wire.response_to("HEAD").await.unwrap();
    assert_eq!((head.status, head.value("content-length")), (200, Some("7")));
    assert_eq!(wire.response().await.unwrap().body.len(), 1);
    eventually("all to be counted", || origin.counters().finished() == 5).await;
    assert_eq!(origin.counters().cancelled(), 0);
}

#[tokio::test]
async fn an_expectation_is_met_or_refused_before_the_body() {
    let origin = Origin::start();
    let expecting = "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    for status in [417, 401] {
        let reply = ask(&origin, "POST", &format!("/refuse/{status}"), expecting).await;
        assert_eq!((reply.status, reply.interim), (status, Vec::new()));
    }
    let mut wire = wire(&origin).await;
    wire.send(format!("POST /upload HTTP/1.1\r\nHost: x\r\n{expecting}")).await.unwrap();
    assert_eq!(wire.head().await.unwrap().status, 100);
    wire.send("hello").await.unwrap();
    assert_eq!(wire.response().await.unwrap().json::<Uploaded>().length, 5);
}

#[tokio::test]
async fn trailers_and_repeated_fields_are_sent() {
    let origin = Origin::start();
    let reply = ask(&origin, "GET", "/trailers", "TE: trailers\r\n\r\n").await;
    assert_eq!(reply.text(), "hello");
    assert_eq!(reply.trailers, [("x-checksum".to_owned(), "5d41402a".to_owned())]);
    let reply = ask(&origin, "GET", "/headers?set-cookie=a&set-cookie=b", "").await;
    assert_eq!(reply.values("Set-Cookie"), ["a", "b"]);
}

#[tokio::test]
async fn events_come_one_by_one() {
    let origin = Origin::start();
    let mut wire = wire(&origin).await;
    wire.send("GET /sse?count=2&interval=300 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let head = wire.head().await.unwrap();
    assert_eq!(head.value("content-type"), Some("text/event-stream"));
    let first = "id: 0\ndata: 0\n\n";
    let chunk = format!("{:X}\r\n{first}\r\n", first.len());
    assert_eq!(wire.read(chunk.len()).await.unwrap(), chunk.as_bytes());
    let since = Instant::now();
    wire.read(chunk.len()).await.unwrap();
    assert!(since.elapsed() > Duration::from_millis(100), "the second event waits for its time");
}

#[tokio::test]
async fn a_request_that_is_given_up_is_counted_as_cancelled() {
    let origin = Origin::start();
    for path in ["/slow/3600000", "/stall/10", "/sse?count=2&interval=3600000"] {
        let before = origin.counters().cancelled();
        let mut wire = wire(&origin).await;
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nx-test-id: {path}\r\n\r\n")).await.unwrap();
        eventually("its arrival", || origin.counters().times(path) == 1).await;
        assert_eq!(origin.counters().in_flight(), 1);
        wire.reset().unwrap();
        eventually("its end", || origin.counters().cancelled() == before + 1).await;
    }
    assert_eq!(origin.counters().finished(), 0);
    assert_eq!(origin.counters().connections(), 3);
}

#[tokio::test]
async fn a_websocket_echoes_pings_and_closes_as_told() {
    let origin = Origin::start();
    let door = Door::plain(origin.address());
    let (mut socket, response) = door.websocket("/ws", &["chat.v2", "chat.v1"]).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v2");
    for message in [Message::text("hello"), Message::binary(vec![0_u8; 100_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.send(Message::text("ping")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Ping("irp".into()));
    socket.send(Message::text("close 4001")).await.unwrap();
    let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else { panic!("no close") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4001, "as told"));
    drop(socket);
    eventually("the end of the conversation", || origin.counters().finished() == 1).await;
    assert_eq!(ask(&origin, "GET", "/ws", "").await.status, 426);
}

#[tokio::test]
async fn http2_with_prior_knowledge_has_the_same_routes() {
    let origin = Origin::start_h2c();
    let mut http2 = Door::plain(origin.address()).http2().await.unwrap();
    let request = Request::post("http://alice.localhost/x?y").body(whole("hi")).unwrap();
    let body = http2.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let echoed: Echoed = serde_json::from_slice(&body).unwrap();
    assert_eq!((echoed.version.as_str(), echoed.body.as_deref()), ("HTTP/2.0", Some("hi")));
    assert_eq!(echoed.authority.as_deref(), Some("alice.localhost"));

    let slow = Request::get("http://alice.localhost/slow/3600000").body(nothing()).unwrap();
    let pending = tokio::spawn(http2.send_request(slow));
    eventually("the slow request", || origin.counters().in_flight() == 1).await;
    pending.abort();
    eventually("the reset of its stream", || origin.counters().cancelled() == 1).await;
}

#[test]
fn a_dropped_origin_frees_its_address_and_cuts_its_connections() {
    let origin = Origin::start();
    let address = origin.address();
    let mut open = std::net::TcpStream::connect(address).unwrap();
    eventually_blocking("the connection", || origin.counters().connections() == 1);
    drop(origin);
    assert_eq!(io::Read::read(&mut open, &mut [0]).unwrap_or(0), 0);
    assert!(std::net::TcpStream::connect(address).is_err());
    let again = Origin::with(Options { bind: Bind::Tcp(address), ..Options::default() }).unwrap();
    assert_eq!(again.address(), address);
}

#[tokio::test]
async fn a_unix_socket_serves_and_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let origin = Origin::with(Options { bind: Bind::Unix(path.clone()), ..Options::default() }).unwrap();
    let reply = irp_testkit::visitor::Curl::new()
        .args(["--unix-socket".as_ref(), path.as_os_str()])
        .get("http://alice.localhost/echo")
        .await
        .unwrap();
    assert_eq!(reply.json::<Echoed>().values("host"), ["alice.localhost"]);
    drop(origin);
    assert!(!path.exists());
}
