//! Lanes: opened on demand, used, cancelled, closed with their session.

use http::Request;
use irp_testkit::{origin::Origin, patience::eventually};
use irp_wire::control::{ClientMessage, EdgeMessage};

use crate::edge::{AnyBody, Edge, HOST, Setup, bytes, connected, nothing, soon};

fn get(path: &str) -> Request<AnyBody> {
    Request::get(path).header("host", HOST).body(nothing()).unwrap()
}

#[tokio::test]
async fn lanes_are_opened_on_demand_and_used_again() {
    let origin = Origin::start();
    let (edge, _client, session) = connected(&origin.port().to_string()).await;
    session.say(&EdgeMessage::OpenLanes { count: 2 }).await;
    for _ in 0..2 {
        let mut lane = edge.accept_lane(&session).await;
        for _ in 0..3 {
            let response = soon(lane.sender.send_request(get("/bytes/100000"))).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(!response.headers().contains_key("connection"));
            assert_eq!(bytes(response).await.len(), 100_000);
            soon(lane.sender.ready()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_more_lanes_than_the_ceiling_are_opened() {
    let origin = Origin::start();
    let edge = Edge::start().await;
    let mut setup = Setup::new(&edge, &origin.port().to_string());
    setup.config.lanes_max = 1;
    let _client = setup.start();
    let mut session = edge.accept_session().await;
    assert_eq!(session.applicant.request.lanes_max, 1);
    session.say(&EdgeMessage::OpenLanes { count: 5 }).await;
    let lane = edge.accept_lane(&session).await;
    assert_eq!(session.hear().await, Some(ClientMessage::LanesFailed { count: 4 }));

    // A lane that is gone makes room.
    lane.connection.abort();
    drop(lane);
    let (id, secret) = (session.id, session.secret.clone());
    let mut again = None;
    while again.is_none() {
        session.say(&EdgeMessage::OpenLanes { count: 1 }).await;
        tokio::select! {
            lane = edge.accept_lane_of(id, &secret) => again = Some(lane),
            heard = session.hear() => assert_eq!(heard, Some(ClientMessage::LanesFailed { count: 1 })),
        }
    }
}

#[tokio::test]
async fn a_closed_lane_cancels_its_request() {
    let origin = Origin::start();
    let (edge, _client, session) = connected(&origin.port().to_string()).await;
    session.say(&EdgeMessage::OpenLanes { count: 1 }).await;
    let mut lane = edge.accept_lane(&session).await;
    let waiting = tokio::spawn(async move { lane.sender.send_request(get("/slow/600000")).await.is_ok() });
    eventually("the request to arrive", || origin.counters().seen() == 1).await;
    lane.connection.abort();
    waiting.abort();
    eventually("the request to be cancelled", || origin.counters().cancelled() == 1).await;
}

#[tokio::test]
async fn lanes_close_with_their_session() {
    let origin = Origin::start();
    let (edge, _client, session) = connected(&origin.port().to_string()).await;
    session.say(&EdgeMessage::OpenLanes { count: 1 }).await;
    let lane = edge.accept_lane(&session).await;
    session.cut();
    soon(lane.connection).await.unwrap();
    let _again = edge.accept_session().await;
}
