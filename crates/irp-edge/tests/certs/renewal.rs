//! Renewal over months, in milliseconds: by age, and as the authority wishes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use irp_edge::certs::{
    AcmeConfig, Certificates, Challenge, Clock as _, FileStore, HttpTokens, Names, Status,
};
use irp_testkit::canned_ca::CannedCa;

use super::support::{HandClock, Running};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// An authority and an edge whose time is moved by hand; certificates last 90 days.
struct Months {
    dir: tempfile::TempDir,
    clock: HandClock,
    ca: CannedCa,
}

impl Months {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = HandClock::at(SystemTime::UNIX_EPOCH + DAY * 20_000);
        let now = {
            let clock = clock.clone();
            Arc::new(move || clock.now())
        };
        let ca = CannedCa::start(dir.path(), now, DAY * 90).await.unwrap();
        Self { dir, clock, ca }
    }

    fn edge(&self) -> Running {
        let config = AcmeConfig {
            directory_url: self.ca.directory_url.clone(),
            contact: None,
            extra_roots_pem: Some(std::fs::read_to_string(&self.ca.root_pem).unwrap()),
            challenge: Challenge::Http01(HttpTokens::new()),
            names: Names::new(["alice.irp.test"]).unwrap(),
        };
        let store = Arc::new(FileStore::open(&self.dir.path().join("store")).unwrap());
        Running::start_with(config, store, Certificates::new(), Arc::new(self.clock.clone()))
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

/// The end and the renewal of the certificate, once it is one that ends after `end`.
async fn ready_after(edge: &mut Running, end: SystemTime) -> (SystemTime, SystemTime) {
    let status =
        edge.status(|status| matches!(status, Status::Ready { not_after, .. } if *not_after > end)).await;
    match status {
        Status::Ready { not_after, renew_at, .. } => (not_after, renew_at),
        other => panic!("{other:?}"),
    }
}

/// The renewal, once it lies before `before`.
async fn renewal_before(edge: &mut Running, before: SystemTime) -> SystemTime {
    let status =
        edge.status(|status| matches!(status, Status::Ready { renew_at, .. } if *renew_at < before)).await;
    match status {
        Status::Ready { renew_at, .. } => renew_at,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_a_wish_of_the_authority_it_is_renewed_at_two_thirds_of_its_life() {
    let months = Months::start().await;
    let mut edge = months.edge();
    let mut end = months.now();
    for renewals in 0..5 {
        let (next_end, renew_at) = ready_after(&mut edge, end).await;
        // A certificate knows whole seconds only.
        let length = next_end.duration_since(months.now()).unwrap();
        assert!(length <= DAY * 90 && length > DAY * 90 - Duration::from_secs(1), "{length:?}");
        let age = renew_at.duration_since(months.now()).unwrap();
        assert!((DAY * 60..=DAY * 63).contains(&age), "{age:?}");
        assert_eq!(months.ca.asked().len(), renewals + 1);
        end = next_end;
        months.clock.advance(age);
    }
    edge.stop().await;
}

#[tokio::test]
async fn the_authority_says_when_and_may_change_its_mind_and_is_told_what_is_replaced() {
    let months = Months::start().await;
    let start = months.now();
    months.ca.tell(|told| told.window = Some((start + DAY * 40, start + DAY * 42)));
    let mut edge = months.edge();
    let renew_at = renewal_before(&mut edge, start + DAY * 50).await;
    assert!((start + DAY * 40..=start + DAY * 42).contains(&renew_at), "{renew_at:?}");

    // It has to revoke on day 2: the window moves, and is asked for again within a day.
    months.ca.tell(|told| told.window = Some((start - DAY, start)));
    months.clock.advance(DAY);
    ready_after(&mut edge, start + DAY * 90).await;
    let asked = months.ca.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].replaces, None);
    assert_eq!(asked[1].at, start + DAY);
    assert!(asked[1].replaces.as_ref().is_some_and(|id| id.contains('.')), "{asked:?}");
    edge.stop().await;
}

#[tokio::test]
async fn an_authority_that_dislikes_the_predecessor_is_asked_again_without() {
    // RFC 9773, section 5: replaced by another order, not to be parsed, not of this account.
    for refused in ["alreadyReplaced", "malformed", "unauthorized"] {
        let months = Months::start().await;
        let start = months.now();
        months.ca.tell(|told| {
            told.window = Some((start + DAY, start + DAY * 2));
            told.refuses_replaces = Some(refused.to_owned());
        });
        let mut edge = months.edge();
        let renew_at = renewal_before(&mut edge, start + DAY * 3).await;
        months.clock.advance(renew_at.duration_since(start).unwrap());
        ready_after(&mut edge, start + DAY * 90).await;
        let asked: Vec<_> =
            months.ca.asked().iter().map(|asked| (asked.replaces.is_some(), asked.taken)).collect();
        assert_eq!(asked, [(false, true), (true, false), (false, true)], "{refused}");
        edge.stop().await;
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_to_the_second_also_by_a_restart() {
    let rate_limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;
    // Let's Encrypt answers 429 with a problem; what stands before it answers 503 with a page.
    for (status, body) in [(429, rate_limited), (503, "<html>")] {
        let months = Months::start().await;
        months.ca.tell(|told| told.refusal = Some((status, (30 * 3600).to_string(), body.to_owned())));
        let mut edge = months.edge();
        let (until, _) = edge.waiting().await;
        assert_eq!(until, months.now() + HOUR * 30);
        edge.stop().await;
        months.ca.tell(|told| told.refusal = None);
        for _ in 0..29 {
            months.clock.advance(HOUR);
            let mut edge = months.edge();
            let (still_until, why) = edge.waiting().await;
            assert_eq!(still_until, until);
            assert!(why.contains("asks to wait"), "{why}");
            edge.kill().await;
        }
        assert_eq!(months.ca.asked().len(), 1, "it was asked before its time");
        months.clock.advance(HOUR);
        let mut edge = months.edge();
        edge.ready().await;
        edge.stop().await;
    }
}

#[tokio::test]
async fn a_certificate_is_served_to_its_end_while_the_authority_is_away() {
    let months = Months::start().await;
    let mut edge = months.edge();
    let (end, renew_at) = ready_after(&mut edge, months.now()).await;
    months.ca.tell(|told| told.refusal = Some((500, String::new(), String::new())));
    months.clock.advance(renew_at.duration_since(months.now()).unwrap());
    let status = edge.status(|status| matches!(status, Status::Waiting { .. })).await;
    assert!(
        matches!(status, Status::Waiting { serving_until: Some(until), .. } if until == end),
        "{status:?}"
    );
    edge.stop().await;

    // A restart serves it, too.
    let mut edge = months.edge();
    let status = edge.status(|status| matches!(status, Status::Waiting { .. })).await;
    assert!(
        matches!(status, Status::Waiting { serving_until: Some(until), .. } if until == end),
        "{status:?}"
    );
    assert!(!edge.certificates.is_empty());
    months.ca.tell(|told| told.refusal = None);
    months.clock.advance(DAY * 2);
    ready_after(&mut edge, end).await;
    edge.stop().await;
}

#[tokio::test]
async fn an_order_that_cannot_be_finalized_now_is_finalized_later_and_not_made_twice() {
    let months = Months::start().await;
    let overloaded = r#"{"type":"urn:ietf:params:acme:error:serverInternal","detail":"overloaded"}"#;
    months.ca.tell(|told| told.refuses_to_issue = Some((500, overloaded.to_owned())));
    let mut edge = months.edge();
    let (_, why) = edge.waiting().await;
    assert!(why.contains("overloaded"), "{why}");
    months.ca.tell(|told| told.refuses_to_issue = None);
    months.clock.advance(HOUR);
    edge.ready().await;
    assert_eq!(months.ca.asked().len(), 1);
    edge.stop().await;
}

#[tokio::test]
async fn one_connection_serves_a_whole_order_and_a_closed_one_is_replaced() {
    let months = Months::start().await;
    let mut edge = months.edge();
    let (end, renew_at) = ready_after(&mut edge, months.now()).await;
    assert_eq!(months.ca.connections(), 1);
    months.ca.hang_up();
    months.clock.advance(renew_at.duration_since(months.now()).unwrap());
    ready_after(&mut edge, end).await;
    assert_eq!(months.ca.connections(), 2);
    assert_eq!(months.ca.asked().len(), 2);
    edge.stop().await;
}
