//! The door before anybody has said who they are: who says nothing, comes in crowds, or speaks an older TLS.

use std::{
    io,
    time::{Duration, Instant},
};

use irp_testkit::{origin::Origin, visitor};
use irp_wire::{ALPN, hello::HELLO_TIMEOUT};
use rustls::AlertDescription;
use tokio::task::JoinSet;

use crate::stage::{Client, Stage};

/// How many connections the edge keeps in their hello at once.
const HELLOS_MAX: usize = 128;

/// How long a crowd is tried for on a machine that cannot even gather it before its first one is cut.
const GATHERED_WITHIN: Duration = Duration::from_secs(60);

/// The way in for tunnels.
fn door(stage: &Stage) -> visitor::Door {
    stage.door().alpn(&[str::from_utf8(ALPN).unwrap()])
}

/// Says these bytes after the handshake and then nothing, and tells how long the edge bore with it: no less than
/// that, since it began to listen after this began to count.
async fn borne(door: visitor::Door, said: &'static [u8]) -> Duration {
    let begun = Instant::now();
    let mut wire = door.connect().await.unwrap();
    assert_eq!(wire.alpn(), Some(ALPN));
    wire.send(said).await.unwrap();
    assert!(wire.read_some().await.unwrap().is_empty(), "the edge has nothing to say to a stranger");
    begun.elapsed()
}

#[tokio::test]
async fn who_does_not_finish_its_hello_is_cut() {
    let stage = Stage::new().await;
    // The second one has begun: a frame begins with its length.
    let (silent, slow) = tokio::join!(borne(door(&stage), b""), borne(door(&stage), b"\0"));
    assert!(silent >= HELLO_TIMEOUT && slow >= HELLO_TIMEOUT, "{silent:?}, {slow:?}");
    stage.stop().await;
}

#[tokio::test]
async fn a_silent_crowd_is_bounded_and_the_client_behind_it_gets_in() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let begun = Instant::now();
    let (mut crowd, mut client) = loop {
        let mut crowd: JoinSet<_> = (0..=HELLOS_MAX).map(|_| borne(door(&stage), b"")).collect();
        let first = crowd.join_next().await.unwrap().unwrap();
        if first < HELLO_TIMEOUT {
            break (crowd, Client::start(stage.config(&origin.address().to_string())));
        }
        assert!(begun.elapsed() < GATHERED_WITHIN, "nobody was turned away");
        crowd.join_all().await;
    };
    while let Some(borne) = crowd.join_next().await {
        assert!(borne.unwrap() >= HELLO_TIMEOUT, "there is room for all but the one who was turned away");
    }
    client.connected().await;
    stage.curl().get(&stage.url("/")).await.unwrap();
    assert_eq!(origin.counters().seen(), 1);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_tunnel_over_tls_1_2_is_refused() {
    let stage = Stage::new().await;
    let refused = door(&stage).tls12().connect().await.unwrap_err();
    assert_eq!(alert(&refused), Some(AlertDescription::ProtocolVersion), "{refused:?}");
    // Visitors may come with it.
    stage.door().alpn(&["http/1.1"]).tls12().connect().await.unwrap();
    door(&stage).connect().await.unwrap();
    stage.stop().await;
}

/// What the other side said when it broke off a handshake.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}
