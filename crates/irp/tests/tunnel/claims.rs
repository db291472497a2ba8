//! Who holds a name, and how the edge ends.

use irp_client::{Event, RunError};
use irp_edge::{Ended, idle::IdleAfter, keys::Grant};
use irp_testkit::origin::Origin;
use irp_wire::key::SecretKey;
use std::{sync::Arc, time::Duration};

use crate::stage::{Client, NAME, Options, Stage};

#[tokio::test]
async fn the_same_key_takes_a_name_over_and_the_old_client_ends() {
    let (old, new) = (Origin::start(), Origin::start());
    let stage = Stage::new().await;
    let first = stage.client(&old.address().to_string()).await;
    let second = stage.client(&new.address().to_string()).await;
    assert!(matches!(first.ended().await, Err(RunError::TakenOver(_))));
    stage.curl().get(&stage.url("/")).await.unwrap();
    assert_eq!((old.counters().seen(), new.counters().seen()), (0, 1));
    second.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn another_key_is_told_who_holds_the_name() {
    let origin = Origin::start();
    let bob = Arc::new(SecretKey::generate().unwrap());
    let names = vec![NAME.parse().unwrap()];
    let grant = Grant { key: bob.public_key(), names, comment: "bob@desk".into() };
    let stage = Stage::with(Options { others: vec![grant], ..Options::default() }).await;
    let alice = stage.client(&origin.address().to_string()).await;
    // The name is hers once a visitor reaches her.
    stage.curl().get(&stage.url("/")).await.unwrap();
    let mut config = stage.config(&origin.address().to_string());
    config.signer = bob;
    let mut bob = Client::start(config);
    let refused = |event: &Event| match event {
        Event::Refused { why, .. } => Some(why.clone()),
        _ => None,
    };
    let why = bob.event("refused", refused).await;
    assert!(why.contains("alice.localhost is in use by alice@laptop (SHA256:"), "{why}");
    // As soon as the name is free, it is bob's.
    alice.stop().await.unwrap();
    bob.connected().await;
    bob.kill().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_stranger_and_a_name_that_was_not_granted_are_refused_for_good() {
    let stage = Stage::new().await;
    let mut config = stage.config("9");
    config.signer = Arc::new(SecretKey::generate().unwrap());
    let Err(RunError::Refused(refusal)) = Client::start(config).ended().await else { panic!() };
    assert!(refusal.message.contains("does not know your key"), "{refusal}");
    let mut config = stage.config("9");
    config.names = vec!["bob.localhost".parse().unwrap()];
    let Err(RunError::Refused(refusal)) = Client::start(config).ended().await else { panic!() };
    assert!(refusal.message.contains("may not claim bob.localhost"), "{refusal}");
    stage.stop().await;
}

#[tokio::test]
async fn the_idle_timer_ends_the_edge_after_the_last_session() {
    let idle_after = IdleAfter::from_hours(1.0 / 3600.0).unwrap();
    let origin = Origin::start();
    let stage = Stage::with(Options { idle_after, ..Options::default() }).await;
    let client = stage.client(&origin.address().to_string()).await;
    // Far longer than the idle time, with a session that does nothing.
    tokio::time::sleep(Duration::from_secs(3)).await;
    stage.curl().get(&stage.url("/")).await.unwrap();
    client.stop().await.unwrap();
    assert_eq!(stage.ended().await, Ended::Idle);
}
