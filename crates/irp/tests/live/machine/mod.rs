//! `irp edge` with `[aws]`: what it does for its machine, with everything around it but AWS itself.

mod caddy;
mod forget;
mod inbox;
mod killed;
mod refusals;
mod role;
mod stage;
mod together;
mod up;

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use irp_testkit::{canned_ca::CannedCa, origin::Origin, patience::eventually};

use self::stage::{ADDRESS, NAME, Stage};
use crate::program::free_port;

/// Idle hours: 10.8 s.
const SOON: f64 = 0.003;

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_lives_from_its_record_to_its_power_off_and_the_next_one_orders_nothing() {
    let stage = Stage::set().await;
    let origin = Origin::start();
    let edge = stage.boot(SOON);
    stage.record_becomes("A", Some(ADDRESS)).await;
    assert_eq!(stage.record("AAAA").await, None);
    stage.serves(&edge, &stage.root).await;
    let mut client = stage.connect(edge.address, origin.port(), &stage.root);
    client.event("connected");
    let answer = edge.visit(&stage.root, NAME).unwrap();
    assert!(answer.status == 200 && answer.body.contains("\"/page\""), "{answer:?}");
    assert!(stage.file("renewed").exists(), "the dead-man timer was not put off");
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));

    // At the moment at which the machine is asked to power off, its record is gone.
    let power_off = stage.file("power-off");
    let asked = async {
        while !power_off.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("power-off");
    assert_eq!(stage.record("A").await, None, "{}", stage.log());
    assert_eq!(edge.running.end().code(), Some(0));

    // Another machine, another address: the same certificate and identity, so the client asks nothing.
    stage.imds.set("public-ipv4", "203.0.113.8");
    stage.imds.set("ipv6", "2001:db8::8");
    let edge = stage.boot(1.0);
    stage.record_becomes("A", Some("203.0.113.8")).await;
    stage.record_becomes("AAAA", Some("2001:db8::8")).await;
    stage.serves(&edge, &stage.root).await;
    let mut client = stage.connect(edge.address, origin.port(), &stage.root);
    client.event("connected");
    assert_eq!(stage.pebble.orders(), 1, "{}", stage.pebble.log());

    // An Elastic IP is attached; then AWS takes the machine away.
    stage.imds.set("public-ipv4", "203.0.113.99");
    stage.imds.remove("ipv6");
    stage.record_becomes("A", Some("203.0.113.99")).await;
    stage.record_becomes("AAAA", None).await;
    stage.imds.announce_spot_end("2026-11-22T20:00:00Z");
    let notice = client.event("notice")["text"].as_str().unwrap().to_owned();
    assert!(notice.contains("takes this spot machine away (terminate) at 2026-11-22T20:00:00Z"), "{notice}");
    stage.record_becomes("A", None).await;
    client.interrupt();
    client.end();
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_launches_of_a_name_order_one_certificate() {
    let stage = Stage::set().await;
    for launch in 1..=10 {
        let edge = stage.boot(1.0);
        stage.serves(&edge, &stage.root).await;
        // The machine ends, and says so; without that it is a restart of the service.
        if launch % 2 == 0 {
            fs::write(stage.file("machine-ends"), "").unwrap();
        }
        stage.record_becomes("A", Some(ADDRESS)).await;
        edge.stop();
        let left = stage.record("A").await;
        assert_eq!(left.is_some(), launch % 2 == 1, "launch {launch}: {left:?}\n{}", stage.log());
    }
    let pebble = &stage.pebble;
    assert_eq!((pebble.orders(), pebble.certificates(), pebble.accounts()), (1, 1, 1), "{}", pebble.log());
    // No value was kept in the clear.
    let ask = ["ssm", "get-parameters-by-path", "--path", "/irp/cert", "--recursive"];
    let kept = stage.moto.cli(&ask).unwrap();
    let kept = kept["Parameters"].as_array().unwrap();
    assert!(kept.iter().all(|it| it["Type"] == "SecureString"), "{kept:?}");
    assert!(kept.iter().all(|it| it["Name"].as_str().unwrap().starts_with(&format!("/irp/cert/{NAME}/"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_order_and_certificate_the_next_machine_fetches_that_order() {
    let stage = Stage::set().await;
    let folder = stage.file("canned");
    fs::create_dir(&folder).unwrap();
    let ninety_days = Duration::from_secs(90 * 86_400);
    let ca = CannedCa::start(&folder, Arc::new(SystemTime::now), ninety_days).await.unwrap();
    ca.tell(|told| told.stalls = true);
    let edge = stage.boot_at(&ca.directory_url, &ca.root_pem, 1.0);
    eventually("it is asked to issue", || ca.stalled() > 0).await;
    drop(edge);

    // The lease of what was killed has to end first.
    ca.tell(|told| told.stalls = false);
    let edge = stage.boot_at(&ca.directory_url, &ca.root_pem, 1.0);
    stage.serves(&edge, ca.root_pem.to_str().unwrap()).await;
    assert_eq!(ca.asked().len(), 1, "{:?}", ca.asked());
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_renews_when_the_authority_wishes_and_without_a_predecessor_if_that_is_refused() {
    let stage = Stage::set().await;
    let folder = stage.file("canned");
    fs::create_dir(&folder).unwrap();
    let day = Duration::from_secs(86_400);
    let ca = CannedCa::start(&folder, Arc::new(SystemTime::now), day * 90).await.unwrap();
    let root = ca.root_pem.to_str().unwrap().to_owned();
    let edge = stage.boot_at(&ca.directory_url, &ca.root_pem, 1.0);
    stage.serves(&edge, &root).await;
    edge.stop();
    // The authority has to revoke: the window has passed. Of the predecessor it wants to know nothing.
    for (renewals, refused) in ["alreadyReplaced", "malformed", "unauthorized"].into_iter().enumerate() {
        let now = SystemTime::now();
        ca.tell(|told| {
            told.window = Some((now - day * 2, now - day));
            told.window_is_for_once = true;
            told.refuses_replaces = Some(refused.to_owned());
        });
        let edge = stage.boot_at(&ca.directory_url, &ca.root_pem, 1.0);
        eventually("it is renewed", || ca.asked().len() > 2 * (renewals + 1)).await;
        stage.serves(&edge, &root).await;
        edge.stop();
        let asked = ca.asked();
        let [with, without] = &asked[asked.len() - 2..] else { panic!("{asked:?}") };
        assert!(with.replaces.as_ref().is_some_and(|id| id.contains('.')) && !with.taken, "{asked:?}");
        assert!(without.replaces.is_none() && without.taken, "{asked:?}");
    }
    // Four certificates in a week are as many as irp asks for; the fourth is served to its end.
    let edge = stage.boot_at(&ca.directory_url, &ca.root_pem, 1.0);
    stage.serves(&edge, &root).await;
    edge.stop();
    assert_eq!(ca.asked().iter().filter(|asked| asked.taken).count(), 4, "{:?}", ca.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_end_is_told_to_everybody_who_connects() {
    let stage = Stage::set().await;
    let end = SystemTime::now() + Duration::from_secs(600);
    let second = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    fs::write(stage.file("ends-at"), format!("{second}\n")).unwrap();
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    for _ in 0..2 {
        let mut client = stage.connect(edge.address, 3000, &stage.root);
        let notice = client.event("notice")["text"].as_str().unwrap().to_owned();
        assert!(notice.starts_with("this machine ends at "), "{notice}");
        client.interrupt();
        assert_eq!(client.end().code(), Some(0));
    }
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_aws_the_edge_serves_after_a_restart_and_ends_when_idle() {
    let mut stage = Stage::set().await;
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    stage.record_becomes("A", Some(ADDRESS)).await;
    edge.stop();

    // Nobody listens there.
    stage.endpoint = format!("http://127.0.0.1:{}", free_port());
    let edge = stage.start_again(SOON);
    stage.serves(&edge, &stage.root).await;
    assert_eq!(edge.running.end().code(), Some(0));
    assert!(stage.file("power-off").exists(), "{}", stage.log());
    assert_eq!(stage.record("A").await.unwrap(), [ADDRESS], "who has removed it?");
    assert!(stage.log().contains("the copy on this machine is used"), "{}", stage.log());
}
