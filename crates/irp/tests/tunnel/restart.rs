//! Edge, client or upstream are killed under load and come back: what becomes of each request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use irp_edge::{http::Limits, keys::Grant};
use irp_testkit::{
    origin::{Bind, Options as OriginOptions, Origin, RefusedPort},
    patience::eventually,
    visitor::{Load, Sent},
};
use irp_wire::key::SecretKey;

use crate::{
    relay::Relay,
    stage::{Client, NAME, Options, Stage},
};

/// How many visitors are there at once; more than the lanes that stand from the start.
const VISITORS: usize = 8;

/// How many answers are waited for before, and after, something breaks.
const SOME: u64 = 100;

/// An answer that takes a moment, so that most visitors wait for one when something breaks.
const PATH: &str = "/slow/20";

/// How soon both ends must have noticed that the other one is gone without a word.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn an_edge_killed_under_load_leaves_every_request_accounted_for() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let mut client = stage.client(&origin.address().to_string()).await;
    let load = Load::start(&stage.door(), NAME, PATH, VISITORS);
    traffic(&load).await;
    let stage = Stage::with(stage.kill().await).await;
    client.lost().await;
    client.connected().await;
    traffic(&load).await;
    let sent = load.stop().await;
    account(&sent, &origin);
    // A visitor has one connection, so that the kill can break one request of each.
    let broken = sent.iter().filter(|sent| sent.outcome.is_err()).count();
    assert!((1..=VISITORS).contains(&broken), "{broken} broken of {}", sent.len());
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn an_edge_stopped_under_load_cuts_nothing_and_the_next_one_holds_requests() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let mut client = stage.client(&origin.address().to_string()).await;
    let load = Load::start(&stage.door(), NAME, PATH, VISITORS);
    traffic(&load).await;
    let stage = Stage::with(stage.retire().await).await;
    // The edge is there before its client: what comes now is held, not refused.
    client.connected().await;
    traffic(&load).await;
    let sent = load.stop().await;
    account(&sent, &origin);
    for sent in &sent {
        match sent.outcome {
            Ok(status) => assert_eq!(status, 200, "{sent:?}"),
            // It crossed with the end of an idle connection (RFC 9112, section 9.6), and nobody saw it.
            Err(_) => assert_eq!(origin.counters().times(&sent.id), 0, "{sent:?}"),
        }
    }
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_client_killed_under_load_leaves_every_request_accounted_for() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let client = stage.client(&origin.address().to_string()).await;
    let load = Load::start(&stage.door(), NAME, PATH, VISITORS);
    traffic(&load).await;
    client.kill().await;
    let client = stage.client(&origin.address().to_string()).await;
    let back = Instant::now();
    traffic(&load).await;
    let sent = load.stop().await;
    account(&sent, &origin);
    // The visitors' connections are the edge's, which lives: everybody has an answer. The client dies one connection after
    // the other, and the edge hears of each a moment later: whose request broke can be on the next one by then. But
    // nobody is told off until the client is back, which takes long enough for many more.
    let (good, bad): (Vec<&Sent>, Vec<&Sent>) = sent.iter().partition(|sent| sent.outcome == Ok(200));
    assert!(bad.len() <= 4 * VISITORS, "{bad:?}");
    assert!(bad.iter().all(|sent| sent.outcome == Ok(502) && sent.began < back), "{bad:?}");
    assert!(good.len() as u64 >= 2 * SOME);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn the_name_of_a_client_that_was_killed_is_free_for_another_key_at_once() {
    let origin = Origin::start();
    let bob = Arc::new(SecretKey::generate().unwrap());
    let names = vec![NAME.parse().unwrap()];
    let grant = Grant { key: bob.public_key(), names, comment: "bob@desk".into() };
    let stage = Stage::with(Options { others: vec![grant], ..Options::default() }).await;
    let alice = stage.client(&origin.address().to_string()).await;
    alice.kill().await;
    let since = Instant::now();
    let mut config = stage.config(&origin.address().to_string());
    config.signer = bob;
    let mut bob = Client::start(config);
    bob.connected().await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(stage.curl().get(&stage.url("/")).await.unwrap().status, 200);
    bob.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn an_upstream_that_is_away_is_named_and_works_again_once_it_is_back() {
    let away = RefusedPort::take();
    let address = away.address();
    let stage = Stage::new().await;
    let client = stage.client(&address.to_string()).await;
    let reply = stage.curl().get(&stage.url("/")).await.unwrap();
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains(&address.port().to_string()), "{}", reply.text());
    drop(away);
    for _ in 0..2 {
        let bind = Bind::Tcp(address);
        let origin = Origin::with(OriginOptions { bind, ..OriginOptions::default() }).unwrap();
        assert_eq!(stage.curl().get(&stage.url("/")).await.unwrap().status, 200);
        assert_eq!(origin.counters().seen(), 1);
        drop(origin);
        assert_eq!(stage.curl().get(&stage.url("/")).await.unwrap().status, 502);
    }
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_noticed_by_both_ends_in_time() {
    let origin = Origin::start();
    let limits = Limits { hold: Duration::from_millis(200), ..Limits::default() };
    let stage = Stage::with(Options { limits, ..Options::default() }).await;
    let relay = Relay::start(stage.address).await;
    let mut config = stage.config(&origin.address().to_string());
    config.connect_to = Some(relay.address);
    let mut client = Client::start(config);
    client.connected().await;
    assert_eq!(stage.curl().get(&stage.url("/")).await.unwrap().status, 200);

    relay.swallow();
    let since = Instant::now();
    let edge = async {
        // Until the edge has noticed, a request waits for an answer that does not come.
        let cut = stage.curl().get(&stage.url("/lost")).await.unwrap();
        assert_eq!(cut.status, 502);
        let noticed = since.elapsed();
        let held = stage.curl().get(&stage.url("/held")).await.unwrap();
        assert_eq!((held.status, held.value("retry-after").is_some()), (503, true));
        noticed
    };
    let lost = async {
        client.lost().await;
        since.elapsed()
    };
    let (edge, lost) = tokio::join!(edge, lost);
    assert!(edge < NOTICED_WITHIN && lost < NOTICED_WITHIN, "edge {edge:?}, client {lost:?}");

    relay.mend();
    client.connected().await;
    assert_eq!(stage.curl().get(&stage.url("/")).await.unwrap().status, 200);
    client.stop().await.unwrap();
    stage.stop().await;
}

/// Waits for some more good answers.
async fn traffic(load: &Load) {
    let before = load.answered();
    eventually("traffic", || load.answered() >= before + SOME).await;
}

/// Every request was answered once, or got an honest error, or broke; none ran twice.
fn account(sent: &[Sent], origin: &Origin) {
    for sent in sent {
        let times = origin.counters().times(&sent.id);
        match sent.outcome {
            Ok(200) => assert_eq!(times, 1, "{sent:?}"),
            Ok(502 | 503) | Err(_) => assert!(times <= 1, "{sent:?} ran {times} times"),
            Ok(_) => panic!("{sent:?}"),
        }
    }
}
