//! A process that is killed in the midst of an order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::future::{BoxFuture, pending};
use irp_edge::certs::{
    Certificates, Challenge, Dns, Source, Status, Store,
    solve::DnsError,
    store::{Blob, BlobName, StoreError, When, Written},
};
use irp_testkit::acme::PebbleOptions;
use tokio::sync::Notify;

use super::support::{Authority, HandClock, Running, SOON, Zone};

/// A store in which writing stops for ever, once, right after the write that `at` picks: the moment for the kill.
#[derive(Debug)]
struct StoppingStore {
    inner: Arc<dyn Store>,
    at: fn(&BlobName, &[u8]) -> bool,
    armed: AtomicBool,
    reached: Arc<Notify>,
}

impl Store for StoppingStore {
    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Option<Blob>, StoreError>> {
        self.inner.get(name)
    }

    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        bytes: &'a [u8],
        when: When,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async move {
            let written = self.inner.put(name, bytes, when).await;
            if (self.at)(name, bytes) && self.armed.swap(false, Ordering::SeqCst) {
                self.reached.notify_one();
                pending::<()>().await;
            }
            written
        })
    }

    fn delete<'a>(&'a self, name: &'a BlobName, when: When) -> BoxFuture<'a, Result<Written, StoreError>> {
        self.inner.delete(name, when)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<BlobName>, StoreError>> {
        self.inner.list(prefix)
    }
}

/// Kills an edge at `at`, removes its lease as time would, and starts another one.
async fn killed(authority: &Authority, at: fn(&BlobName, &[u8]) -> bool) -> Running {
    let config = authority.config(&["alice.irp.test"], authority.zone());
    let store = authority.store();
    let reached = Arc::new(Notify::new());
    let stopping =
        StoppingStore { inner: store.clone(), at, armed: AtomicBool::new(true), reached: reached.clone() };
    let edge = Running::start(config.clone(), Arc::new(stopping));
    tokio::time::timeout(SOON, reached.notified()).await.unwrap();
    edge.kill().await;
    for lease in store.list("lease-").await.unwrap() {
        let _ = store.delete(&lease, When::Always).await.unwrap();
    }
    Running::start(config, store)
}

/// A zone in which nothing ever becomes visible.
#[derive(Debug)]
struct SlowZone(Zone);

impl Dns for SlowZone {
    fn set_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        self.0.set_txt(name, value)
    }

    fn clear_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        self.0.clear_txt(name, value)
    }

    fn wait_visible<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(pending())
    }
}

#[tokio::test]
async fn ended_in_good_order_it_takes_its_proof_down_and_the_next_one_need_not_wait() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let zone = SlowZone(Zone { responder: authority.dns.clone() });
    let config = authority.config(&["alice.irp.test"], Challenge::Dns01(Arc::new(zone)));
    let edge = Running::start(config, authority.store());
    let proofs = || authority.dns.txt_count("_acme-challenge.alice.irp.test");
    tokio::time::timeout(SOON, async {
        while proofs() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    edge.stop().await;
    assert_eq!(proofs(), 0);
    assert!(authority.store().list("lease-").await.unwrap().is_empty());

    let mut edge = Running::start(authority.config(&["alice.irp.test"], authority.zone()), authority.store());
    edge.ready().await;
    assert_eq!(authority.pebble.orders(), 1);
    edge.stop().await;
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn killed_before_it_asks_for_the_certificate_the_next_one_asks_for_that() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let mut edge = killed(&authority, |name, bytes| {
        name.as_str().starts_with("order-") && text(bytes).contains("\"issuing\":true")
    })
    .await;
    assert!(matches!(edge.ready().await, Status::Ready { source: Source::Ordered, .. }));
    assert_eq!((authority.pebble.orders(), authority.pebble.certificates()), (1, 1));
    assert!(authority.store().list("order-").await.unwrap().is_empty());
    edge.stop().await;
}

#[tokio::test]
async fn killed_after_the_certificate_was_fetched_the_next_one_uses_it() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let mut edge = killed(&authority, |name, _| name.as_str().starts_with("certificate-")).await;
    assert!(matches!(edge.ready().await, Status::Ready { source: Source::Cache, .. }));
    assert_eq!((authority.pebble.orders(), authority.pebble.certificates()), (1, 1));
    edge.stop().await;
}

#[tokio::test]
async fn killed_before_validation_the_next_one_waits_as_after_a_failure_and_goes_on_with_the_order() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let mut edge = killed(&authority, |name, bytes| {
        name.as_str().starts_with("order-") && text(bytes).contains("\"issuing\":false")
    })
    .await;
    let (until, why) = edge.waiting().await;
    let wait = until.duration_since(SystemTime::now()).unwrap();
    assert!(wait.as_secs() <= 72, "{wait:?}");
    assert!(why.contains("broken off"), "{why}");
    edge.stop().await;

    // A minute later.
    let store = authority.store();
    let clock = HandClock::at(until + Duration::from_secs(1));
    let config = authority.config(&["alice.irp.test"], authority.zone());
    let mut edge = Running::start_with(config, store, Certificates::new(), Arc::new(clock));
    edge.ready().await;
    assert_eq!((authority.pebble.orders(), authority.pebble.certificates()), (1, 1));
    edge.stop().await;
}
