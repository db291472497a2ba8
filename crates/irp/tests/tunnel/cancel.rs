//! Visitors who leave in crowds: their requests end, the tunnel does not.

use http_body_util::BodyExt as _;
use irp_client::Event;
use irp_testkit::{
    descriptors,
    origin::{AnyBody, Origin, nothing},
    patience::eventually,
    visitor::Http2,
};
use tokio::task::JoinSet;

use crate::stage::{Client, NAME, Stage};

/// Visitors' connections and the requests on each: within the limits of an edge, which are 128 and 1024.
const CONNECTIONS: usize = 10;
const REQUESTS: usize = 100;

#[tokio::test]
async fn a_thousand_visitors_who_cancel_at_once_do_not_end_the_tunnel() {
    everybody_leaves(0).await;
}

#[tokio::test]
async fn a_thousand_visitors_who_cancel_at_once_do_not_end_a_tunnel_with_lanes() {
    everybody_leaves(irp_client::LANES_MAX).await;
}

async fn everybody_leaves(lanes_max: u16) {
    descriptors::allow(8192).unwrap();
    let origin = Origin::start();
    let stage = Stage::new().await;
    let mut config = stage.config(&origin.address().to_string());
    config.lanes_max = lanes_max;
    let mut client = Client::start(config);
    client.connected().await;
    let counters = origin.counters();

    // Everybody waits for an answer, then all leave in one moment; and once more before they are even seen.
    let mut visitors = crowd(&stage).await;
    eventually("all requests", || counters.in_flight() == (CONNECTIONS * REQUESTS) as u64).await;
    visitors.abort_all();
    eventually("the end of all requests", || counters.in_flight() == 0).await;
    assert_eq!(counters.cancelled(), (CONNECTIONS * REQUESTS) as u64);
    visitors = crowd(&stage).await;
    visitors.abort_all();

    assert_eq!(stage.curl().get(&stage.url("/")).await.unwrap().status, 200);
    eventually("the end of what got through", || counters.in_flight() == 0).await;
    while let Ok(event) = client.events.try_recv() {
        assert!(!matches!(event, Event::Lost { .. }), "{event:?}");
    }
    client.stop().await.unwrap();
    stage.stop().await;
}

/// A thousand visitors, each with a task that waits for an answer that takes an hour.
async fn crowd(stage: &Stage) -> JoinSet<()> {
    let mut visitors = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let connection = stage.door().http2().await.unwrap();
        for _ in 0..REQUESTS {
            visitors.spawn(wait(connection.clone(), request(stage)));
        }
    }
    visitors
}

async fn wait(mut connection: Http2, request: http::Request<AnyBody>) {
    if let Ok(answer) = connection.send_request(request).await {
        panic!("{:?}", answer.into_body().collect().await);
    }
}

fn request(stage: &Stage) -> http::Request<AnyBody> {
    let url = format!("https://{NAME}:{}/slow/3600000", stage.address.port());
    http::Request::get(url).body(nothing()).unwrap()
}
