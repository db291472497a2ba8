//! WebSockets, and whatever else a connection can become.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use irp_testkit::{
    origin::{Origin, RawOrigin},
    patience::eventually,
};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::{
    stage::NAME,
    way::{Tunnel, Way},
};

/// What a browser says to open a WebSocket.
const OFFER: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_websocket_talks_both_ways_until_it_is_closed() {
    let origin = Origin::start();
    let tunnel = Tunnel::open(Way::Lanes, origin.address()).await;
    let (mut socket, response) = tunnel.stage.door().websocket("/ws", &["chat", "other"]).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    let long = "x".repeat(1 << 20);
    for text in ["hello", "", &long] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    let bytes = Message::binary(vec![0xff; 1 << 20]);
    socket.send(bytes.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), bytes);
    socket.send(Message::text("ping")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Ping("irp".into()));
    socket.send(Message::text("close 4000")).await.unwrap();
    let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else { panic!("no close") };
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Library(4000), "as told"));
    drop(socket);
    eventually("the program's end closes", || origin.counters().in_flight() == 0).await;
    assert_eq!((origin.counters().finished(), origin.counters().cancelled()), (1, 0));
    tunnel.close().await;
}

#[tokio::test]
async fn many_websockets_are_open_at_once() {
    let origin = Origin::start();
    let tunnel = Tunnel::open(Way::Lanes, origin.address()).await;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(tunnel.stage.door().websocket("/ws", &[]).await.unwrap().0);
    }
    for (turn, socket) in sockets.iter_mut().enumerate() {
        socket.send(Message::text(turn.to_string())).await.unwrap();
    }
    for (turn, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(turn.to_string()));
    }
    assert_eq!(origin.counters().in_flight(), 100);
    drop(sockets);
    eventually("the program's ends close", || origin.counters().in_flight() == 0).await;
    tunnel.close().await;
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let origin = Origin::start();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        for (path, status, length) in [
            ("/bytes/5", 200, 5),
            ("/status/404", 404, 11),
            ("/status/500", 500, 11),
            ("/status/204", 204, 0),
            ("/bytes/300000?chunked", 200, 300_000),
        ] {
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{OFFER}\r\n")).await.unwrap();
            let reply = wire.response().await.unwrap();
            assert_eq!((reply.status, reply.body.len()), (status, length), "{way:?} {path}");
            assert_eq!(reply.value("upgrade"), None, "{way:?} {path}");
            let internal = |(name, _): &(String, String)| name.to_lowercase().starts_with("irp-");
            assert!(!reply.headers.iter().any(internal), "{way:?} {path}: {:?}", reply.headers);
        }
        tunnel.close().await;
    }
}

#[tokio::test]
async fn a_visitor_who_closes_its_half_still_hears_the_rest() {
    let origin = Origin::start();
    let tunnel = Tunnel::open(Way::Http2, origin.address()).await;
    let mut wire = tunnel.stage.door().connect().await.unwrap();
    wire.send(format!("GET /ws HTTP/1.1\r\nHost: {NAME}\r\n{OFFER}\r\n")).await.unwrap();
    assert_eq!(wire.head().await.unwrap().status, 101);
    // A masked text frame, its mask zero, and nothing after it.
    wire.send(b"\x81\x85\0\0\0\0hello").await.unwrap();
    wire.half_close().await.unwrap();
    assert_eq!(wire.rest().await.unwrap(), b"\x81\x05hello");
    eventually("the program's end closes", || origin.counters().in_flight() == 0).await;
    tunnel.close().await;
}

#[tokio::test]
async fn any_protocol_may_be_spoken_after_an_upgrade() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: parrot\r\n\r\nhello";
    let origin = RawOrigin::start(answer);
    let tunnel = Tunnel::open(Way::Http2, origin.address()).await;
    let mut wire = tunnel.stage.door().connect().await.unwrap();
    let request =
        format!("GET /cage HTTP/1.1\r\nHost: {NAME}\r\nConnection: upgrade\r\nUpgrade: parrot\r\n\r\n");
    wire.send(request).await.unwrap();
    let reply = wire.head().await.unwrap();
    assert_eq!((reply.status, reply.value("upgrade")), (101, Some("parrot")));
    assert_eq!(wire.read(5).await.unwrap(), b"hello");
    wire.send(b"\0\xffcracker").await.unwrap();
    eventually("the program hears it", || origin.bytes().ends_with(b"\0\xffcracker")).await;
    tunnel.close().await;
}

#[tokio::test]
async fn each_side_may_leave_without_a_word() {
    let origin = Origin::start();
    let tunnel = Tunnel::open(Way::Http2, origin.address()).await;
    let (socket, _) = tunnel.stage.door().websocket("/ws", &[]).await.unwrap();
    eventually("it is open", || origin.counters().in_flight() == 1).await;
    drop(socket);
    eventually("it ends at the program", || origin.counters().in_flight() == 0).await;

    let (mut socket, _) = tunnel.stage.door().websocket("/ws", &[]).await.unwrap();
    eventually("it is open", || origin.counters().in_flight() == 1).await;
    drop(origin);
    let end = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    drop(socket);
    tunnel.close().await;
}
