//! Connections that change their protocol.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use irp_edge::http::{Limits, access::Access};
use irp_testkit::{
    origin::{Manner, Origin, RudeOrigin},
    patience::eventually,
};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::stage::{Stage, head, short};

const OFFER: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_websocket_talks_both_ways_and_counts_as_in_flight() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let (mut socket, response) = stage.door().websocket("/ws", &["chat"]).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    let long = "x".repeat(1_000_000);
    for text in ["hello", "", &long] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    assert_eq!((stage.route.in_flight(), stage.service.in_flight()), (1, 1));
    socket.send(Message::text("close 4000")).await.unwrap();
    let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else { panic!("no close") };
    assert_eq!(frame.code, CloseCode::Library(4000));
    drop(socket);
    eventually("nothing is in flight", || stage.route.in_flight() == 0 && stage.service.in_flight() == 0)
        .await;
}

#[tokio::test]
async fn a_visitor_who_leaves_ends_the_upstreams_socket() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let (socket, _) = stage.door().websocket("/ws", &[]).await.unwrap();
    eventually("it is open", || origin.counters().in_flight() == 1).await;
    drop(socket);
    eventually("it ends", || origin.counters().in_flight() == 0).await;
    eventually("nothing is in flight", || stage.route.in_flight() == 0).await;
}

#[tokio::test]
async fn a_quiet_websocket_is_cut_after_its_time() {
    let origin = Origin::start();
    let limits = Limits { upgrade_idle: Duration::from_millis(400), ..short() };
    let stage = Stage::new(Some(origin.address()), limits, Access::default()).await;
    let (mut socket, _) = stage.door().websocket("/ws", &[]).await.unwrap();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        socket.send(Message::text("here")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("here"));
    }
    assert!(!matches!(socket.next().await, Some(Ok(_))), "silence ends it");
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let reply = stage.get("/bytes/5", OFFER).await;
    assert_eq!((reply.status, reply.body.len()), (200, 5));
    let reply = stage.get("/bytes/5", "Connection: upgrade\r\nUpgrade: h2c\r\n").await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn upgrades_that_make_no_sense_are_refused() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let reply = stage.send("POST", "/ws", &format!("{OFFER}Content-Length: 3\r\n"), "abc").await;
    assert_eq!(reply.status, 400);
    assert_eq!(origin.counters().seen(), 0);
    let origin = RudeOrigin::start(Manner::UnaskedUpgrade);
    let stage = Stage::with(origin.address()).await;
    assert_eq!(stage.get("/", "").await.status, 502);
}

#[tokio::test]
async fn a_visitor_who_takes_nothing_of_a_websocket_is_cut() {
    let origin = Origin::start();
    let limits = Limits { stalled: Duration::from_millis(300), ..short() };
    let stage = Stage::new(Some(origin.address()), limits, Access::default()).await;
    let mut wire = stage.door().receive_buffer(8192).connect().await.unwrap();
    wire.send(head("GET", "/ws") + OFFER + "\r\n").await.unwrap();
    assert_eq!(wire.head().await.unwrap().status, 101);
    // An echo of 60 000 bytes each time, of which nothing is read.
    let mut frame = vec![0x82, 0xfe, 0xea, 0x60, 0, 0, 0, 0];
    frame.resize(8 + 60_000, 7);
    let sending = async { while wire.send(&frame).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), sending).await.expect("the connection is cut");
    eventually("nothing is in flight", || stage.route.in_flight() == 0).await;
}
