//! Killed in the midst of making its record or taking it away: systemd starts the edge again, and that one mends it.

use std::time::Duration;

use irp_testkit::detour::{Detour, Fate};

use super::{
    SOON,
    stage::{ADDRESS, NAME, Stage},
};

const UPSERT: &str = "<Action>UPSERT</Action><ResourceRecordSet><Name>alice.irp.test.</Name><Type>A</Type>";
const DELETE: &str = "<Action>DELETE</Action><ResourceRecordSet><Name>alice.irp.test.</Name><Type>A</Type>";

/// How long the call may be waited for.
const WITHIN: Duration = Duration::from_secs(100);

/// Waits until the edge has made a call that gets no answer.
async fn called(stage: &Stage, detour: &Detour, mark: &str, before: usize) {
    let waiting = async {
        while detour.unanswered().iter().filter(|it| it.contains(mark)).count() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(WITHIN, waiting).await.is_ok(), "no {mark}\n{}", stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_around_its_record_the_next_start_finds_and_mends_it() {
    let mut stage = Stage::set().await;
    let detour = Detour::start(stage.moto.address()).await.unwrap();
    stage.endpoint = detour.url();
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    edge.stop();

    for (number, fate) in [Fate::Lost, Fate::Done].into_iter().enumerate() {
        // A machine was launched, and its edge dies at the call for the record: before it is done, and after.
        let address = format!("203.0.113.{}", 20 + number);
        let before = stage.record("A").await;
        stage.imds.set("public-ipv4", &address);
        detour.silence(UPSERT, fate);
        let edge = stage.boot(1.0);
        called(&stage, &detour, UPSERT, number).await;
        edge.running.kill();
        let left = if fate == Fate::Lost { before } else { Some(vec![address.clone()]) };
        assert_eq!(stage.record("A").await, left, "{fate:?}");

        detour.straight(UPSERT);
        let edge = stage.start_again(1.0);
        stage.record_becomes("A", Some(&address)).await;
        stage.serves(&edge, &stage.root).await;
        edge.stop();
    }

    for (number, fate) in [Fate::Lost, Fate::Done].into_iter().enumerate() {
        // Nobody is there any more, and the edge dies as it takes the record away. The machine is still on.
        detour.silence(DELETE, fate);
        let edge = stage.boot(SOON);
        called(&stage, &detour, DELETE, number).await;
        edge.running.kill();
        assert_eq!(stage.record("A").await.is_some(), fate == Fate::Lost);
        assert!(!stage.file("power-off").exists(), "it was powered off before that: {}", stage.log());

        // Started again it serves, and comes to its end once more.
        detour.straight(DELETE);
        let edge = stage.start_again(SOON);
        assert_eq!(edge.running.end().code(), Some(0));
        assert!(stage.file("power-off").exists(), "{}", stage.log());
        assert_eq!(stage.record("A").await, None, "{}", stage.log());
    }
    assert_eq!(stage.pebble.orders(), 1, "{}", stage.pebble.log());
}

/// A machine that is gone has left its record; the one in its place has an address of the other kind only.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_ipv6_alone_takes_the_name_over_follows_its_address_and_takes_it_along() {
    let stage = Stage::set().await;
    let edge = stage.boot(1.0);
    stage.record_becomes("A", Some(ADDRESS)).await;
    stage.serves(&edge, &stage.root).await;
    edge.running.kill();

    stage.imds.remove("public-ipv4");
    stage.imds.set("ipv6", "2001:db8::7");
    let edge = stage.boot(1.0);
    stage.record_becomes("AAAA", Some("2001:db8::7")).await;
    stage.record_becomes("A", None).await;
    stage.imds.set("ipv6", "2001:db8::8");
    stage.record_becomes("AAAA", Some("2001:db8::8")).await;
    stage.serves(&edge, &stage.root).await;
    edge.stop();
    assert_eq!(stage.record("AAAA").await.unwrap(), ["2001:db8::8"], "a restart is no end");

    // Both kinds at once; then nobody comes.
    stage.imds.set("public-ipv4", ADDRESS);
    let edge = stage.start_again(SOON);
    stage.record_becomes("A", Some(ADDRESS)).await;
    assert_eq!(stage.record("AAAA").await.unwrap(), ["2001:db8::8"]);
    assert_eq!(edge.running.end().code(), Some(0));
    assert_eq!((stage.record("A").await, stage.record("AAAA").await), (None, None), "{}", stage.log());
    assert!(stage.file("power-off").exists());
    let sets = stage.zone.record_sets().await.unwrap();
    assert!(!sets.iter().any(|set| set.name == NAME), "{sets:?}");
}
