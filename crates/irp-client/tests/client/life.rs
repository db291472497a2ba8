//! Reconnects, goodbyes, refusals and the way out.

use std::time::{Duration, Instant};

use irp_client::{Event, RunError};
use irp_testkit::{origin::Origin, patience::eventually};
use irp_wire::{
    control::{ClientMessage, EdgeMessage, GoodbyeReason},
    hello::{Refusal, RefusalCode, refuse},
};

use crate::edge::{Client, Edge, Setup, bytes, connected, get, soon};

fn connected_again(event: Event) -> Option<()> {
    matches!(event, Event::Connected { first: false, .. }).then_some(())
}

#[tokio::test]
async fn a_client_comes_back_at_once_and_as_the_same_process() {
    let origin = Origin::start();
    let (edge, mut client, session) = connected(&origin.port().to_string()).await;
    session.cut();
    let before = Instant::now();
    let again = edge.accept_session().await;
    assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
    assert_eq!(again.applicant.request.instance, session.applicant.request.instance);
    client.event(connected_again).await;
    assert_eq!(again.get("/").await.status(), 200);
}

#[tokio::test]
async fn an_edge_that_was_away_is_found_again() {
    let origin = Origin::start();
    let (edge, mut client, session) = connected(&origin.port().to_string()).await;
    let address = edge.address();
    let Edge { listener, authority, identity, host, acceptor } = edge;
    drop(listener);
    drop(session);
    let failed = |event| matches!(event, Event::Failed { .. }).then_some(());
    for _ in 0..3 {
        client.event(failed).await;
    }
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let before = Instant::now();
    let edge = Edge { listener, authority, identity, host, acceptor };
    let again = edge.accept_session().await;
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    assert_eq!(again.get("/").await.status(), 200);
}

#[tokio::test]
async fn the_edge_decides_who_may_come_back() {
    for reason in [GoodbyeReason::TakenOver, GoodbyeReason::Revoked, GoodbyeReason::MachineEnds] {
        let (_edge, client, session) = connected("1").await;
        session.say(&EdgeMessage::Goodbye { reason, text: "because".into() }).await;
        let error = client.ended().await.unwrap_err();
        assert!(error.to_string().contains("because"), "{error}");
        let as_told = match reason {
            GoodbyeReason::TakenOver => matches!(error, RunError::TakenOver(_)),
            GoodbyeReason::Revoked => matches!(error, RunError::Revoked(_)),
            _ => matches!(error, RunError::MachineEnds(_)),
        };
        assert!(as_told, "{error:?}");
    }
}

#[tokio::test]
async fn a_goodbye_cuts_no_request() {
    let origin = Origin::start();
    let (edge, _client, session) = connected(&origin.port().to_string()).await;
    let mut sender = session.sender.clone();
    let slow = tokio::spawn(async move { sender.send_request(get("/slow/1000")).await.unwrap() });
    eventually("the request to arrive", || origin.counters().seen() == 1).await;
    let restart = EdgeMessage::Goodbye { reason: GoodbyeReason::Restart, text: "restart".into() };
    session.say(&restart).await;
    let again = edge.accept_session().await;
    assert_eq!(again.get("/").await.status(), 200);
    assert_eq!(soon(slow).await.unwrap().status(), 200);
}

#[tokio::test]
async fn leaving_is_told_and_requests_under_way_are_finished() {
    let origin = Origin::start();
    let (_edge, mut client, mut session) = connected(&origin.port().to_string()).await;
    let mut sender = session.sender.clone();
    let slow =
        tokio::spawn(async move { bytes(sender.send_request(get("/slow/1000")).await.unwrap()).await });
    eventually("the request to arrive", || origin.counters().seen() == 1).await;
    client.shutdown.cancel();
    assert_eq!(session.hear().await, Some(ClientMessage::Leaving));
    let in_flight = |event| match event {
        Event::Leaving { in_flight } => Some(in_flight),
        _ => None,
    };
    assert_eq!(client.event(in_flight).await, 1);
    soon(slow).await.unwrap();
    let begun = Instant::now();
    client.ended().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(session.hear().await, None);
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_the_client() {
    let origin = Origin::start();
    let edge = Edge::start().await;
    let mut setup = Setup::new(&edge, &origin.port().to_string());
    setup.config.timeouts.drain = Duration::from_millis(100);
    let client = setup.start();
    let session = edge.accept_session().await;
    let mut sender = session.sender.clone();
    let slow = tokio::spawn(async move { sender.send_request(get("/slow/600000")).await.is_err() });
    eventually("the request to arrive", || origin.counters().seen() == 1).await;
    client.shutdown.cancel();
    client.ended().await.unwrap();
    assert!(soon(slow).await.unwrap());
    eventually("the request to be cancelled", || origin.counters().cancelled() == 1).await;
}

#[tokio::test]
async fn a_client_that_is_dropped_is_gone_at_once() {
    let origin = Origin::start();
    let (_edge, client, session) = connected(&origin.port().to_string()).await;
    client.running.abort();
    soon(session.connection).await.unwrap();
}

async fn refused(code: RefusalCode) -> (Edge, Client) {
    let edge = Edge::start().await;
    let client = Setup::new(&edge, "1").start();
    let (mut io, _, _) = edge.accept().await;
    refuse(&mut io, Refusal::new(code, "not you")).await.unwrap();
    (edge, client)
}

#[tokio::test]
async fn a_refusal_for_good_ends_the_client_with_the_edges_sentence() {
    let (_edge, client) = refused(RefusalCode::UnknownKey).await;
    let error = client.ended().await.unwrap_err();
    assert!(matches!(error, RunError::Refused(_)) && error.to_string().contains("not you"), "{error}");
}

#[tokio::test]
async fn a_passing_refusal_is_tried_again() {
    let (edge, mut client) = refused(RefusalCode::NameTaken).await;
    let why = |event| match event {
        Event::Refused { why, .. } => Some(why),
        _ => None,
    };
    assert_eq!(client.event(why).await, "not you");
    edge.accept_session().await;
}
