//! Lanes: how many there are, and what becomes of them.

use std::time::{Duration, Instant};

use irp_testkit::{
    origin::Origin,
    patience::eventually,
    visitor::{Load, Wire},
};

use crate::{
    relay::Relay,
    stage::{Client, NAME, Stage},
};

/// Lanes that a session opens by itself, and the connection beside them.
const FLOOR: usize = 4;
const CONTROL: usize = 1;

/// An edge, its client, and the network between them.
struct World {
    origin: Origin,
    stage: Stage,
    relay: Relay,
    client: Client,
}

impl World {
    async fn new(lanes_max: u16) -> Self {
        let origin = Origin::start();
        let stage = Stage::new().await;
        let relay = Relay::start(stage.address).await;
        let mut config = stage.config(&origin.address().to_string());
        config.connect_to = Some(relay.address);
        config.lanes_max = lanes_max;
        let mut client = Client::start(config);
        client.connected().await;
        Self { origin, stage, relay, client }
    }

    async fn end(self) {
        self.client.stop().await.unwrap();
        let relay = self.relay;
        eventually("the end of all connections", || relay.open() == 0).await;
        self.stage.stop().await;
    }
}

#[tokio::test]
async fn lanes_stand_before_the_first_request_and_grow_with_concurrency_to_the_ceiling() {
    let world = World::new(irp_client::LANES_MAX).await;
    let ceiling = usize::from(irp_client::LANES_MAX) + CONTROL;
    let relay = &world.relay;
    eventually("the floor", || relay.open() == FLOOR + CONTROL).await;
    // Nobody asks for anything: there are no more.
    assert_eq!(world.stage.curl().get(&world.stage.url("/")).await.unwrap().status, 200);
    assert_eq!(relay.most(), FLOOR + CONTROL);
    let load = Load::start(&world.stage.door(), NAME, "/slow/50", 2 * ceiling);
    eventually("the ceiling", || relay.open() == ceiling).await;
    assert!(load.stop().await.iter().all(|sent| sent.outcome == Ok(200)));
    assert_eq!(relay.most(), ceiling);
    world.end().await;
}

#[tokio::test]
async fn a_ceiling_below_the_floor_is_kept() {
    let world = World::new(2).await;
    let relay = &world.relay;
    let load = Load::start(&world.stage.door(), NAME, "/slow/5", 8);
    eventually("both lanes and traffic", || relay.open() == 2 + CONTROL && load.answered() > 200).await;
    assert!(load.stop().await.iter().all(|sent| sent.outcome == Ok(200)));
    assert_eq!(relay.most(), 2 + CONTROL);
    world.end().await;
}

#[tokio::test]
async fn without_lanes_everything_goes_over_one_connection() {
    let world = World::new(0).await;
    let load = Load::start(&world.stage.door(), NAME, "/slow/5", 8);
    eventually("traffic", || load.answered() > 200).await;
    assert!(load.stop().await.iter().all(|sent| sent.outcome == Ok(200)));
    assert_eq!(world.relay.most(), CONTROL);
    world.end().await;
}

#[tokio::test]
async fn when_the_control_connection_breaks_all_lanes_end_and_the_client_is_back() {
    let mut world = World::new(irp_client::LANES_MAX).await;
    eventually("the floor", || world.relay.open() == FLOOR + CONTROL).await;
    let before = world.relay.seen();
    world.relay.cut(0);
    world.client.lost().await;
    world.client.connected().await;
    let relay = &world.relay;
    // All five are new ones.
    let renewed = before + FLOOR + CONTROL;
    eventually("new lanes", || relay.seen() >= renewed && relay.open() == FLOOR + CONTROL).await;
    assert_eq!(world.stage.curl().get(&world.stage.url("/")).await.unwrap().status, 200);
    world.end().await;
}

#[tokio::test]
async fn a_lane_that_breaks_is_replaced_and_the_session_stays() {
    let mut world = World::new(irp_client::LANES_MAX).await;
    let relay = &world.relay;
    eventually("the floor", || relay.open() == FLOOR + CONTROL).await;
    (1..=FLOOR).rev().for_each(|lane| relay.cut(lane));
    eventually("their end", || relay.open() == CONTROL).await;
    let load = Load::start(&world.stage.door(), NAME, "/slow/5", 8);
    eventually("new lanes and traffic", || relay.open() > CONTROL && load.answered() > 100).await;
    assert!(load.stop().await.iter().all(|sent| sent.outcome == Ok(200)));
    stays(&mut world.client);
    world.end().await;
}

#[tokio::test]
async fn stalled_downloads_on_lanes_do_not_hurt_the_others() {
    let world = World::new(irp_client::LANES_MAX).await;
    let mut stalled = Vec::new();
    for _ in 0..2 * FLOOR {
        stalled.push(download(&world).await);
    }
    for _ in 0..20 {
        let since = Instant::now();
        assert_eq!(world.stage.curl().get(&world.stage.url("/")).await.unwrap().status, 200);
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    }
    drop(stalled);
    let origin = &world.origin;
    eventually("the end of the downloads", || origin.counters().in_flight() == 0).await;
    world.end().await;
}

/// A visitor who asks for much and reads nothing but the head.
async fn download(world: &World) -> Wire {
    let mut wire = world.stage.door().receive_buffer(4096).connect().await.unwrap();
    wire.send(format!("GET /bytes/1000000000 HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
    assert_eq!(wire.head().await.unwrap().status, 200);
    wire
}

/// The session that stands has stood all the time.
fn stays(client: &mut Client) {
    while let Ok(event) = client.events.try_recv() {
        assert!(!matches!(event, irp_client::Event::Lost { .. }), "{event:?}");
    }
}
