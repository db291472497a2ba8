//! Bodies that flow while they are made: events, gRPC, trailers, uploads that ask first.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use irp_testkit::{
    origin::{AnyBody, Echoed, GRPC_ECHO, GrpcOrigin, Messages, Origin, RawOrigin, message, nothing, whole},
    patience::eventually,
    visitor::open_body,
};

use crate::{
    stage::NAME,
    way::{Tunnel, Way},
};

fn request2(tunnel: &Tunnel, method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(tunnel.stage.url(path))
}

#[tokio::test]
async fn events_come_when_they_are_sent() {
    let origin = Origin::start();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        let begun = Instant::now();
        wire.send(format!("GET /sse?count=2&interval=60000 HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
        let reply = wire.head().await.unwrap();
        assert_eq!((reply.status, reply.value("content-type")), (200, Some("text/event-stream")));
        let first = String::from_utf8(wire.read_some().await.unwrap()).unwrap();
        assert!(first.contains("data: 0"), "{way:?}: {first}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{way:?}: with the second event");
        wire.reset().unwrap();
        eventually("the program is told that nobody listens", || origin.counters().in_flight() == 0).await;
        tunnel.close().await;
    }
}

#[tokio::test]
async fn both_directions_flow_at_once() {
    let origin = Origin::start();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let mut http2 = tunnel.stage.door().http2().await.unwrap();
        let (sender, body) = open_body();
        let request = request2(&tunnel, "POST", "/mirror").body(body).unwrap();
        let mut back = http2.send_request(request).await.unwrap().into_body();
        for word in ["one", "two", "three"] {
            sender.send(Ok(Frame::data(Bytes::from(word)))).await.unwrap();
            assert_eq!(back.frame().await.unwrap().unwrap().into_data().unwrap(), word, "{way:?}");
        }
        drop(sender);
        assert!(back.collect().await.unwrap().to_bytes().is_empty());
        tunnel.close().await;
    }
}

fn call(tunnel: &Tunnel, method: &str, body: AnyBody) -> Request<AnyBody> {
    let call = request2(tunnel, "POST", &format!("{GRPC_ECHO}/{method}"));
    let call = call.header(header::CONTENT_TYPE, "application/grpc").header(header::TE, "trailers");
    call.header("x-echo", "yes").body(body).unwrap()
}

#[tokio::test]
async fn grpc_calls_end_with_their_trailers() {
    let origin = GrpcOrigin::start();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, format!("h2c://{}", origin.address())).await;
        let mut http2 = tunnel.stage.door().http2().await.unwrap();
        for (method, status) in [("Unary", "0"), ("FailLate", "13")] {
            let response = http2.send_request(call(&tunnel, method, whole(message(b"hi")))).await.unwrap();
            assert_eq!(response.headers()["x-echo"], "yes");
            let body = response.into_body().collect().await.unwrap();
            let trailers = body.trailers().unwrap();
            assert_eq!(trailers["grpc-status"], status);
            assert_eq!(trailers["x-echo-trailer"], "yes");
            assert_eq!(body.to_bytes(), message(b"hi"));
        }
        let response = http2.send_request(call(&tunnel, "Fail", nothing())).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "5");
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        tunnel.close().await;
    }
}

#[tokio::test]
async fn grpc_streams_are_conversations() {
    let origin = GrpcOrigin::start();
    let tunnel = Tunnel::open(Way::Lanes, format!("h2c://{}", origin.address())).await;
    let mut http2 = tunnel.stage.door().http2().await.unwrap();
    let (sender, body) = open_body();
    let mut response = http2.send_request(call(&tunnel, "Stream", body)).await.unwrap();
    let mut messages = Messages::default();
    for number in 0..5_u8 {
        sender.send(Ok(Frame::data(message(&[number])))).await.unwrap();
        let answer = loop {
            if let Some(answer) = messages.take() {
                break answer;
            }
            messages.feed(response.body_mut().frame().await.unwrap().unwrap().data_ref().unwrap());
        };
        assert_eq!(answer[..], [number]);
    }
    drop(sender);
    let end = response.into_body().collect().await.unwrap();
    assert_eq!(end.trailers().unwrap()["grpc-status"], "0");

    // A caller who gives up is gone for the program, too.
    let (sender, body) = open_body();
    let _response = http2.send_request(call(&tunnel, "Stream", body)).await.unwrap();
    eventually("it is under way", || origin.counters().in_flight() == 1).await;
    sender.send(Err(std::io::Error::other("gives up"))).await.unwrap();
    eventually("it is cancelled", || origin.counters().cancelled() == 1).await;
    tunnel.close().await;
}

#[tokio::test]
async fn trailers_of_answers_pass() {
    let origin = Origin::start();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        let ask = "Connection: TE\r\nTE: trailers\r\n";
        wire.send(format!("GET /trailers HTTP/1.1\r\nHost: {NAME}\r\n{ask}\r\n")).await.unwrap();
        let reply = wire.response().await.unwrap();
        assert_eq!(reply.body, b"hello");
        assert_eq!(reply.trailers, [("x-checksum".to_owned(), "5d41402a".to_owned())], "{way:?}");

        let mut http2 = tunnel.stage.door().http2().await.unwrap();
        let request = request2(&tunnel, "GET", "/trailers").header("te", "trailers").body(nothing()).unwrap();
        let body = http2.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-checksum"], "5d41402a", "{way:?}");
        assert_eq!(body.to_bytes(), "hello");
        tunnel.close().await;
    }
}

#[tokio::test]
async fn trailers_of_requests_pass_or_are_dropped_and_the_body_is_whole() {
    for way in Way::BOTH {
        let origin = RawOrigin::ok();
        let tunnel = Tunnel::open(way, origin.address()).await;
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        let head = format!(
            "POST /a HTTP/1.1\r\nHost: {NAME}\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
        );
        wire.send(head + "3\r\nabc\r\n3\r\ndef\r\n0\r\nx-sum: 1\r\nirp-sum: 1\r\n\r\n").await.unwrap();
        assert_eq!(wire.response().await.unwrap().status, 200);
        let requests = origin.requests().unwrap();
        assert_eq!((requests.len(), requests[0].body.as_slice()), (1, b"abcdef".as_slice()), "{way:?}");
        let text = String::from_utf8(origin.bytes()).unwrap();
        assert!(!text.contains("irp-sum"), "{way:?}: {text}");
        tunnel.close().await;
    }
}

#[tokio::test]
async fn head_204_and_304_have_no_body_and_the_right_length() {
    let origin = Origin::start();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        let mut http2 = tunnel.stage.door().http2().await.unwrap();
        for (method, path, status, length) in [
            ("HEAD", "/bytes/1000", 200, Some("1000")),
            ("HEAD", "/bytes/1000?chunked", 200, None),
            ("HEAD", "/status/404", 404, Some("11")),
            ("GET", "/status/204", 204, None),
            ("GET", "/status/304", 304, None),
            ("GET", "/bytes/0", 200, Some("0")),
        ] {
            wire.send(format!("{method} {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
            let reply = wire.response_to(method).await.unwrap();
            assert_eq!((reply.status, reply.body.len()), (status, 0), "{way:?} {method} {path}");
            assert_eq!(reply.value("content-length"), length, "{way:?} {method} {path}");

            let request = request2(&tunnel, method, path).body(nothing()).unwrap();
            let response = http2.send_request(request).await.unwrap();
            let found = response.headers().get("content-length").map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), found), (status, length), "{way:?} {method} {path}");
            assert!(response.body().is_end_stream() || length == Some("0"), "{way:?} {method} {path}");
        }
        assert_eq!(wire.alpn(), None);
        tunnel.close().await;
    }
}

#[tokio::test]
async fn an_upload_that_asks_first_is_wanted_or_not() {
    let origin = Origin::start();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        let expect = "Expect: 100-continue\r\nContent-Length: 3\r\n";
        wire.send(format!("POST /echo HTTP/1.1\r\nHost: {NAME}\r\n{expect}\r\n")).await.unwrap();
        assert_eq!(wire.head().await.unwrap().status, 100, "{way:?}");
        wire.send("abc").await.unwrap();
        let echoed: Echoed = wire.response().await.unwrap().json();
        assert_eq!(echoed.body.as_deref(), Some("abc"));

        let received = origin.counters().received();
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        wire.send(format!("POST /refuse/413 HTTP/1.1\r\nHost: {NAME}\r\n{expect}\r\n")).await.unwrap();
        let reply = wire.response().await.unwrap();
        // The visitor was never told to send, and keeps its body.
        assert_eq!((reply.status, reply.interim.len()), (413, 0), "{way:?}");
        assert_eq!(origin.counters().received(), received);
        tunnel.close().await;
    }
}
