//! Restart loops stay within the limits of Let's Encrypt.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use irp_edge::certs::{
    Certificates, Challenge, Clock as _, Names,
    budget::{AttemptId, History, Permit, Step},
};
use irp_testkit::acme::PebbleOptions;
use proptest::prelude::*;

use super::support::{Authority, DeadZone, HandClock, Running};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[tokio::test]
async fn a_restart_loop_whose_validation_fails_stays_under_five_an_hour() {
    let authority =
        Authority::start(PebbleOptions { rejected_nonces: Some(0), ..PebbleOptions::default() }).await;
    let config = authority.config(&["alice.irp.test"], Challenge::Dns01(Arc::new(DeadZone)));
    let clock = HandClock::at(SystemTime::now());
    let mut tried_at = Vec::new();
    for _ in 0..(12 * 30) {
        let mut edge = Running::start_with(
            config.clone(),
            authority.store(),
            Certificates::new(),
            Arc::new(clock.clone()),
        );
        let (until, _) = edge.waiting().await;
        assert!(until > clock.now());
        edge.kill().await;
        tried_at.resize(authority.pebble.orders(), clock.now());
        clock.advance(5 * MINUTE);
    }
    assert!(tried_at.len() >= 5, "it gave up: {} orders in 30 hours", tried_at.len());
    let most = most_within(&tried_at, HOUR);
    assert!(most < 5, "{most} failed validations within an hour");
}

#[tokio::test]
async fn what_failed_and_why_is_told() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let config = authority.config(&["alice.irp.test"], Challenge::Dns01(Arc::new(DeadZone)));
    let mut edge = Running::start(config.clone(), authority.store());
    let (_, why) = edge.waiting().await;
    assert!(why.contains("could not validate alice.irp.test"), "{why}");
    assert!(edge.certificates.is_empty());
    edge.stop().await;

    // A restart knows it, too, and asks nobody.
    let orders = authority.pebble.orders();
    let mut edge = Running::start(config, authority.store());
    let (_, why) = edge.waiting().await;
    assert!(why.contains("could not validate alice.irp.test"), "{why}");
    assert_eq!(authority.pebble.orders(), orders);
    edge.stop().await;
}

#[tokio::test]
async fn a_store_that_loses_certificates_does_not_use_up_the_week() {
    let authority =
        Authority::start(PebbleOptions { rejected_nonces: Some(0), ..PebbleOptions::default() }).await;
    let config = authority.config(&["alice.irp.test"], authority.zone());
    let clock = HandClock::at(SystemTime::now());
    let store = authority.store();
    for _ in 0..40 {
        let mut edge =
            Running::start_with(config.clone(), store.clone(), Certificates::new(), Arc::new(clock.clone()));
        edge.status(|status| {
            matches!(status, irp_edge::certs::Status::Ready { .. } | irp_edge::certs::Status::Waiting { .. })
        })
        .await;
        edge.stop().await;
        for lost in store.list("certificate-").await.unwrap() {
            let _ = store.delete(&lost, irp_edge::certs::store::When::Always).await.unwrap();
        }
        clock.advance(2 * HOUR);
    }
    assert_eq!(authority.pebble.certificates(), 4);
}

fn most_within(times: &[SystemTime], window: Duration) -> usize {
    times
        .iter()
        .map(|from| times.iter().filter(|at| *at >= from && **at < *from + window).count())
        .max()
        .unwrap_or(0)
}

/// What happens to a process that tries.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// Seconds until it is started again.
    pause: u64,
    /// Which set of names it wants.
    set: usize,
    /// How far it gets.
    step: usize,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let life = (prop_oneof![0u64..120, 0u64..4000, 0u64..90_000], 0usize..3, 0usize..4)
        .prop_map(|(pause, set, step)| Life { pause, set, step });
    proptest::collection::vec(life, 0..300)
}

proptest! {
    #[test]
    fn no_sequence_of_restarts_and_outcomes_reaches_a_limit(lives in lives()) {
        let sets = [["a.example", "b.example"], ["b.example", "b.example"], ["c.example", "a.example"]];
        let sets = sets.map(|names| Names::new(names).unwrap());
        let steps = [Step::Begun, Step::Validating, Step::Issuing, Step::Issued];
        let mut history = History::default();
        let mut now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut failed: Vec<(&str, SystemTime)> = Vec::new();
        let mut issued: Vec<(usize, SystemTime)> = Vec::new();
        for (id, life) in lives.iter().enumerate() {
            now += Duration::from_secs(life.pause);
            history.settle(now);
            let names = &sets[life.set];
            if let Permit::Wait { until, .. } = history.permit(names, now) {
                prop_assert!(until > now && until < now + Duration::from_secs(9 * 24 * 3600));
                continue;
            }
            let id = AttemptId(id as u64 * 0x9e37_79b9);
            history.begin(id, names, now);
            let step = steps[life.step];
            history.advance(id, step, now);
            // The history survives as JSON.
            history = serde_json::from_slice(&serde_json::to_vec(&history).unwrap()).unwrap();
            match step {
                Step::Begun => {}
                Step::Validating => failed.extend(names.iter().map(|name| (name, now))),
                Step::Issuing | Step::Issued => issued.push((life.set, now)),
            }
        }
        for name in ["a.example", "b.example", "c.example"] {
            let times: Vec<_> = failed.iter().filter(|(of, _)| *of == name).map(|(_, at)| *at).collect();
            prop_assert!(most_within(&times, HOUR) < 5);
        }
        for set in 0..3 {
            let times: Vec<_> = issued.iter().filter(|(of, _)| *of == set).map(|(_, at)| *at).collect();
            prop_assert!(most_within(&times, WEEK) < 5);
        }
    }
}

#[test]
fn retry_after_wins_and_covers_other_sets_with_the_same_name() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (one, two) = (Names::new(["a.example"]).unwrap(), Names::new(["a.example", "b.example"]).unwrap());
    let mut history = History::default();
    history.begin(AttemptId(1), &one, now);
    history.refuse(AttemptId(1), now + 30 * HOUR, now);
    for names in [&one, &two] {
        let permit = history.permit(names, now + 29 * HOUR);
        assert!(matches!(permit, Permit::Wait { until, .. } if until == now + 30 * HOUR), "{permit:?}");
        assert_eq!(history.permit(names, now + 30 * HOUR), Permit::Now);
    }
    assert_eq!(history.permit(&Names::new(["c.example"]).unwrap(), now), Permit::Now);
}

#[test]
fn a_clock_that_was_wrong_does_not_block_for_ever() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let names = Names::new(["a.example"]).unwrap();
    let mut history = History::default();
    let far = now + 5000 * 24 * HOUR;
    history.begin(AttemptId(1), &names, far);
    history.refuse(AttemptId(1), far, far);
    history.settle(now);
    let Permit::Wait { until, .. } = history.permit(&names, now) else { panic!("forgotten") };
    assert!(until <= now + 8 * 24 * HOUR);
}

#[test]
fn what_was_issued_may_be_fetched_at_once_unless_that_failed() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (id, names) = (AttemptId(0), Names::new(["a.example"]).unwrap());
    let mut history = History::default();
    history.begin(id, &names, now);
    history.advance(id, Step::Issuing, now);
    assert_eq!(history.permit_fetching(id, &names, now), Permit::Now);
    history.fail(id, "no answer", now);
    let Permit::Wait { until, why } = history.permit_fetching(id, &names, now) else { panic!("no pause") };
    assert_eq!(until, now + MINUTE);
    assert!(why.to_string().starts_with("no answer"), "{why}");
    assert_eq!(history.permit_fetching(id, &names, until), Permit::Now);
    history.refuse(id, now + HOUR, now);
    assert!(
        matches!(history.permit_fetching(id, &names, until), Permit::Wait { until, .. } if until == now + HOUR)
    );
}

#[test]
fn an_attempt_that_was_called_off_in_time_costs_nothing() {
    let now = SystemTime::now();
    let names = Names::new(["a.example"]).unwrap();
    let mut history = History::default();
    history.begin(AttemptId(1), &names, now);
    history.call_off(AttemptId(1));
    assert_eq!(history.permit(&names, now), Permit::Now);
    history.begin(AttemptId(2), &names, now);
    history.advance(AttemptId(2), Step::Validating, now);
    history.call_off(AttemptId(2));
    assert_ne!(history.permit(&names, now), Permit::Now, "the authority has seen this one");
}
