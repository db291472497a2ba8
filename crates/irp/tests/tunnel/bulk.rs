//! Large bodies, visitors who take nothing, and visitors who leave.

use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt as _;
use irp_testkit::{
    origin::{
        Manner, Origin, RudeOrigin, Uploaded, nothing, pattern, pattern_sha256, sha256, unsized_pattern,
    },
    patience::eventually,
};

use crate::{
    stage::NAME,
    way::{Tunnel, Way},
};

/// Far more than all windows and buffers on the way hold together.
const LENGTH: u64 = 32 << 20;

#[tokio::test]
async fn long_bodies_arrive_whole_both_ways() {
    let origin = Origin::start();
    let expected = pattern_sha256(LENGTH);
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let before = tunnel.by_lanes();
        let mut http2 = tunnel.stage.door().http2().await.unwrap();
        for body in [pattern(LENGTH), unsized_pattern(LENGTH)] {
            let upload = Request::post(tunnel.stage.url("/upload")).body(body).unwrap();
            let reply = http2.send_request(upload).await.unwrap().into_body().collect().await.unwrap();
            let seen: Uploaded = serde_json::from_slice(&reply.to_bytes()).unwrap();
            assert_eq!((seen.length, &seen.sha256), (LENGTH, &expected), "{way:?}");
        }
        for path in [format!("/bytes/{LENGTH}"), format!("/bytes/{LENGTH}?chunked")] {
            let reply = tunnel.stage.curl().get(&tunnel.stage.url(&path)).await.unwrap();
            assert_eq!((reply.body.len() as u64, sha256(&reply.body)), (LENGTH, expected.clone()), "{way:?}");
        }
        // So much for the other tests: what they call a way is one.
        let by_lanes = tunnel.by_lanes() - before;
        match way {
            Way::Http2 => assert_eq!(by_lanes, 0),
            Way::Lanes => assert!(by_lanes > 4 * LENGTH, "{by_lanes}"),
        }
        tunnel.close().await;
    }
}

#[tokio::test]
async fn stalled_downloads_hold_nobody_up() {
    let origin = Origin::start();
    for way in Way::BOTH {
        let tunnel = Tunnel::open(way, origin.address()).await;
        let mut stalled = Vec::new();
        for _ in 0..40 {
            let mut wire = tunnel.stage.door().receive_buffer(8192).connect().await.unwrap();
            wire.send(format!("GET /bytes/536870912 HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
            assert_eq!(wire.head().await.unwrap().status, 200);
            stalled.push(wire);
        }
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        for _ in 0..20 {
            let begun = Instant::now();
            wire.send(format!("GET /bytes/5 HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
            assert_eq!(wire.response().await.unwrap().body.len(), 5);
            assert!(begun.elapsed() < Duration::from_secs(2), "{way:?}: {:?}", begun.elapsed());
        }
        assert_eq!(origin.counters().in_flight(), 40, "{way:?}");
        drop((stalled, wire));
        eventually("the downloads are cancelled", || origin.counters().in_flight() == 0).await;
        tunnel.close().await;
    }
}

#[tokio::test]
async fn stalled_uploads_hold_nobody_up() {
    // One more than there are idle lanes, so that some stall on each way.
    let origin = RudeOrigin::start(Manner::NeverReads);
    for way in Way::BOTH {
        let connections = origin.counters().connections();
        let tunnel = Tunnel::open(way, origin.address()).await;
        let piece = vec![7; 64 * 1024];
        let mut stalled = Vec::new();
        for _ in 0..10 {
            let mut wire = tunnel.stage.door().connect().await.unwrap();
            let head = format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 500000000\r\n\r\n");
            wire.send(head).await.unwrap();
            while matches!(
                tokio::time::timeout(Duration::from_millis(100), wire.send(&piece)).await,
                Ok(Ok(()))
            ) {}
            stalled.push(wire);
        }
        // The program takes connections and no more, so that to have reached it is all there can be.
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        wire.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
        eventually("the small request passes", || origin.counters().connections() == connections + 11).await;
        drop((stalled, wire));
        tunnel.close().await;
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_cancels_the_programs_work() {
    for way in Way::BOTH {
        let origin = Origin::start();
        let tunnel = Tunnel::open(way, origin.address()).await;
        // Before the answer, in the middle of it, and in the middle of an upload.
        for (turn, request) in [
            format!("GET /slow/600000 HTTP/1.1\r\nHost: {NAME}\r\n\r\n"),
            format!("GET /stall/1000 HTTP/1.1\r\nHost: {NAME}\r\n\r\n"),
            format!("POST /upload HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000\r\n\r\nabc"),
        ]
        .into_iter()
        .enumerate()
        {
            let turn = turn as u64;
            let mut wire = tunnel.stage.door().connect().await.unwrap();
            wire.send(request).await.unwrap();
            eventually("the request arrives", || origin.counters().seen() == turn + 1).await;
            wire.reset().unwrap();
            eventually("its work ends", || origin.counters().in_flight() == 0).await;
        }
        let mut http2 = tunnel.stage.door().http2().await.unwrap();
        let request = Request::get(tunnel.stage.url("/slow/600000")).body(nothing()).unwrap();
        let sent = tokio::spawn(http2.send_request(request));
        eventually("the request arrives", || origin.counters().seen() == 4).await;
        sent.abort();
        eventually("it is cancelled", || origin.counters().cancelled() >= 3).await;
        // The tunnel and the visitor's other requests live on.
        let request = Request::get(tunnel.stage.url("/bytes/5")).body(nothing()).unwrap();
        assert_eq!(http2.send_request(request).await.unwrap().status(), 200);
        tunnel.close().await;
    }
}

#[tokio::test]
async fn a_flood_of_cancelled_requests_does_not_end_the_tunnel() {
    let origin = Origin::start();
    let mut tunnel = Tunnel::open(Way::Http2, origin.address()).await;
    for _ in 0..20 {
        let mut http2 = tunnel.stage.door().http2().await.unwrap();
        let mut visitors = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let request = Request::get(tunnel.stage.url("/slow/600000")).body(nothing()).unwrap();
            visitors.spawn(http2.send_request(request));
        }
        tokio::time::timeout(Duration::from_millis(20), visitors.join_next()).await.unwrap_err();
        visitors.shutdown().await;
    }
    eventually("all are cancelled", || origin.counters().in_flight() == 0).await;
    assert_eq!(tunnel.stage.curl().get(&tunnel.stage.url("/")).await.unwrap().status, 200);
    while let Ok(event) = tunnel.client.events.try_recv() {
        assert!(!matches!(event, irp_client::Event::Lost { .. }), "{event:?}");
    }
    tunnel.close().await;
}
