//! Requests through a tunnel.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use irp_client::Event;
use irp_testkit::{
    origin::{Echoed, Origin, Uploaded},
    patience::eventually,
};
use irp_wire::headers::{self, FAILURE, Failure};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

use crate::edge::{HOST, bytes, channel_body, connected, full, get, nothing, soon};

#[tokio::test]
async fn a_request_goes_through_and_is_told() {
    let origin = Origin::start();
    let (_edge, mut client, session) = connected(&origin.port().to_string()).await;
    let (urls, first) = client
        .event(|event| match event {
            Event::Connected { urls, first, .. } => Some((urls, first)),
            _ => None,
        })
        .await;
    assert_eq!((urls, first), (vec![format!("https://{HOST}")], true));

    let mut request = Request::post(format!("https://{HOST}/a%20b?x=%2F&y"));
    for (name, value) in [("x-forwarded-for", "192.0.2.7"), ("cookie", "a=1; b=2")] {
        request = request.header(name, value);
    }
    let response = session.send(request.body(full("hello")).unwrap()).await;
    assert_eq!(response.status(), 200);
    let echoed: Echoed = serde_json::from_slice(&bytes(response).await).unwrap();
    assert_eq!((echoed.method.as_str(), echoed.path.as_str()), ("POST", "/a%20b"));
    assert_eq!(echoed.query.as_deref(), Some("x=%2F&y"));
    assert_eq!(echoed.version, "HTTP/1.1");
    assert_eq!(echoed.values("host"), [HOST]);
    assert_eq!(echoed.values("cookie"), ["a=1; b=2"]);
    assert_eq!(echoed.values("x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(echoed.body.as_deref(), Some("hello"));

    let told = client.event(exchange).await;
    assert_eq!((told.method, told.path.as_str()), (Method::POST, "/a%20b"));
    assert_eq!(told.status, Some(StatusCode::OK));
    assert!(told.whole && told.bytes > 0 && !told.failed);
}

fn exchange(event: Event) -> Option<irp_client::Finished> {
    match event {
        Event::Exchange(finished) => Some(finished),
        _ => None,
    }
}

#[tokio::test]
async fn connections_to_the_upstream_are_used_again() {
    let origin = Origin::start();
    let (_edge, _client, session) = connected(&origin.port().to_string()).await;
    for _ in 0..50 {
        assert_eq!(bytes(session.get("/bytes/100?chunked").await).await.len(), 100);
    }
    assert!(origin.counters().connections() <= 3, "{}", origin.counters().connections());
}

#[tokio::test]
async fn head_204_and_304_have_no_body() {
    let origin = Origin::start();
    let (_edge, _client, session) = connected(&origin.port().to_string()).await;
    let head = Request::head(format!("https://{HOST}/bytes/1234")).body(nothing()).unwrap();
    let response = session.send(head).await;
    assert_eq!(response.headers()["content-length"], "1234");
    assert!(bytes(response).await.is_empty());
    for status in [204, 304] {
        let response = session.get(&format!("/status/{status}")).await;
        assert_eq!(response.status(), status);
        assert!(bytes(response).await.is_empty());
    }
}

#[tokio::test]
async fn an_upload_streams_with_back_pressure() {
    let origin = Origin::start();
    let (_edge, _client, session) = connected(&origin.port().to_string()).await;
    let (parts, body) = mpsc::channel(1);
    let request = Request::post(format!("https://{HOST}/upload")).body(channel_body(body)).unwrap();
    let sending = tokio::spawn(async move {
        for _ in 0..256 {
            parts.send(Bytes::from(vec![7; 64 * 1024])).await.unwrap();
        }
    });
    let uploaded: Uploaded = serde_json::from_slice(&bytes(session.send(request).await).await).unwrap();
    assert_eq!(uploaded.length, 16 * 1024 * 1024);
    sending.await.unwrap();
}

#[tokio::test]
async fn a_websocket_goes_through_extended_connect() {
    let origin = Origin::start();
    let (_edge, mut client, session) = connected(&origin.port().to_string()).await;
    let mut request = Request::connect(format!("https://{HOST}/ws"))
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13")
        .header(headers::UPGRADE, "websocket")
        .body(nothing())
        .unwrap();
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    let mut response = session.send(request).await;
    assert_eq!(response.status(), 200, "{response:?}");
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers()[headers::UPGRADE], "websocket");
    let io = TokioIo::new(soon(hyper::upgrade::on(&mut response)).await.unwrap());
    let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    for text in ["hello", &"x".repeat(200_000)] {
        use futures_util::{SinkExt as _, StreamExt as _};
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text(text));
    }
    socket.close(None).await.unwrap();
    drop(socket);
    let told = client.event(exchange).await;
    assert!(told.upgrade);
}

#[tokio::test]
async fn a_declined_upgrade_keeps_its_answer() {
    let origin = Origin::start();
    let (_edge, _client, session) = connected(&origin.port().to_string()).await;
    let mut request = Request::connect(format!("https://{HOST}/status/426")).body(nothing()).unwrap();
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    let response = session.send(request).await;
    assert_eq!(response.status(), 501);
    assert_eq!(response.headers()[headers::STATUS], "426");
}

#[tokio::test]
async fn a_visitor_who_leaves_takes_the_upstreams_request_along() {
    let origin = Origin::start();
    let (_edge, mut client, session) = connected(&origin.port().to_string()).await;
    let mut sender = session.sender.clone();
    let waiting = tokio::spawn(async move { sender.send_request(get("/slow/600000")).await });
    eventually("the request to arrive", || origin.counters().seen() == 1).await;
    waiting.abort();
    eventually("the request to be cancelled", || origin.counters().cancelled() == 1).await;
    let told = client.event(exchange).await;
    assert_eq!((told.status, told.whole), (None, false));

    // The same in the middle of a body.
    let mut response = session.get("/stall/100").await;
    soon(response.body_mut().frame()).await.unwrap().unwrap();
    drop(response);
    eventually("the answer to be cancelled", || origin.counters().cancelled() == 2).await;
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_failure_for_the_edge_to_render() {
    let port = irp_testkit::origin::RefusedPort::take();
    let (_edge, mut client, session) = connected(&port.address().to_string()).await;
    let response = session.get("/").await;
    assert_eq!(response.status(), 502);
    let (failure, detail) = Failure::from_header(&response.headers()[FAILURE]);
    assert_eq!(failure, Failure::Refused);
    assert!(detail.contains(&port.address().to_string()), "{detail}");
    assert!(bytes(response).await.is_empty());
    assert!(client.event(exchange).await.failed);
}

#[tokio::test]
async fn what_belongs_to_one_hop_or_to_irp_stays_behind() {
    let origin = Origin::start();
    let (_edge, _client, session) = connected(&origin.port().to_string()).await;
    let response = session.get("/headers?irp-failure=refused&irp_status=200&keep-alive=5&x-mine=1").await;
    assert_eq!(response.headers()["x-mine"], "1");
    for name in ["irp-failure", "irp_status", "keep-alive", "connection"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_server_sent_event_arrives_before_the_next_is_made() {
    let origin = Origin::start();
    let (_edge, client, session) = connected(&origin.port().to_string()).await;
    let mut response = session.get("/sse?count=2&interval=600000").await;
    let first = soon(response.body_mut().frame()).await.unwrap().unwrap();
    let first = String::from_utf8(first.into_data().unwrap().to_vec()).unwrap();
    assert!(first.contains("data: 0") && !first.contains("data: 1"), "{first}");
    // A stream without an end is not waited for.
    client.shutdown.cancel();
    let begun = std::time::Instant::now();
    client.ended().await.unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

#[tokio::test]
async fn trailers_come_back() {
    let origin = Origin::start_h2c();
    let (_edge, _client, session) = connected(&format!("h2c://{}", origin.address())).await;
    let body = soon(session.get("/trailers").await.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-checksum"], "5d41402a");
}

#[tokio::test]
async fn a_connect_without_a_protocol_goes_nowhere() {
    let origin = Origin::start();
    let (_edge, _client, session) = connected(&origin.port().to_string()).await;
    let response = session.send(Request::connect("mail.test:25").body(nothing()).unwrap()).await;
    assert_eq!(response.status(), 502);
    assert_eq!(origin.counters().seen(), 0);
}
