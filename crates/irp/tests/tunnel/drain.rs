//! Leaving politely, at both ends: what is under way finishes, what comes later is told.

use std::time::Duration;

use irp_edge::{Ended, http::Limits};
use irp_testkit::{
    origin::{Origin, Uploaded},
    patience::eventually,
    visitor::Wire,
};

use crate::stage::{NAME, Options, Stage};

/// An upload that is under way as long as the test wants.
struct Upload(Wire);

impl Upload {
    /// Sends the head and half of the body, and waits until the origin has seen it.
    async fn begin(stage: &Stage, origin: &Origin) -> Self {
        let seen = origin.counters().seen();
        let mut wire = stage.door().connect().await.unwrap();
        let head = format!("POST /upload HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 10\r\n\r\n");
        wire.send(head + "01234").await.unwrap();
        eventually("the upload", || origin.counters().seen() == seen + 1).await;
        Self(wire)
    }

    /// Sends the rest, and takes the answer.
    async fn finish(mut self) {
        self.0.send("56789").await.unwrap();
        let reply = self.0.response().await.unwrap();
        assert_eq!((reply.status, reply.json::<Uploaded>().length), (200, 10));
    }
}

#[tokio::test]
async fn an_edge_that_stops_lets_requests_finish_and_takes_no_new_ones() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let client = stage.client(&origin.address().to_string()).await;
    // More than there are lanes at first: some of them go over HTTP/2.
    let mut uploads = Vec::new();
    for _ in 0..8 {
        uploads.push(Upload::begin(&stage, &origin).await);
    }
    let door = stage.door();
    stage.shutdown().cancel();
    let closed = async { while door.connect().await.is_ok() {} };
    tokio::time::timeout(crate::stage::PATIENCE, closed).await.unwrap();
    for upload in uploads {
        upload.finish().await;
    }
    assert_eq!(stage.stop().await.0, Ended::Asked);
    client.kill().await;
}

#[tokio::test]
async fn an_edge_that_stops_waits_for_a_hanging_request_no_longer_than_its_deadline() {
    let origin = Origin::start();
    let drain = Duration::from_millis(300);
    let stage = Stage::with(Options { drain, ..Options::default() }).await;
    let client = stage.client(&origin.address().to_string()).await;
    let Upload(mut hanging) = Upload::begin(&stage, &origin).await;
    assert_eq!(stage.stop().await.0, Ended::Asked);
    // It never finished, so that there is no answer that a visitor could take for one.
    assert!(hanging.response().await.is_err());
    eventually("the end of the upstream's request", || origin.counters().in_flight() == 0).await;
    client.kill().await;
}

#[tokio::test]
async fn a_client_that_leaves_lets_requests_finish_and_new_ones_are_told_to_come_back() {
    let origin = Origin::start();
    let limits = Limits { hold: Duration::from_millis(100), ..Limits::default() };
    let stage = Stage::with(Options { limits, ..Options::default() }).await;
    let client = stage.client(&origin.address().to_string()).await;
    let mut uploads = Vec::new();
    for _ in 0..8 {
        uploads.push(Upload::begin(&stage, &origin).await);
    }
    let leaving = tokio::spawn(client.stop());
    let away = async {
        // Until the edge has read that the client leaves, requests go on as before.
        loop {
            let reply = stage.curl().get(&stage.url("/")).await.unwrap();
            match reply.status {
                200 => {}
                503 => break reply,
                status => panic!("{status}: {}", reply.text()),
            }
        }
    };
    let reply = tokio::time::timeout(crate::stage::PATIENCE, away).await.unwrap();
    assert!(reply.value("retry-after").is_some());
    assert!(!leaving.is_finished());
    for upload in uploads {
        upload.finish().await;
    }
    leaving.await.unwrap().unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_request_held_while_the_client_leaves_goes_to_the_next_one() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let upstream = origin.address().to_string();
    stage.client(&upstream).await.stop().await.unwrap();
    let url = stage.url("/held");
    let curl = stage.curl();
    let (held, client) = tokio::join!(curl.get(&url), stage.client(&upstream));
    assert_eq!((held.unwrap().status, origin.counters().seen()), (200, 1));
    client.stop().await.unwrap();
    stage.stop().await;
}
