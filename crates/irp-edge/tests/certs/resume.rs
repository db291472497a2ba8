//! A process that is killed in the midst of an order.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::{BoxFuture, pending};
use irp_edge::certs::{
    Source, Status, Store,
    store::{Blob, BlobName, StoreError, When, Written},
};
use irp_testkit::acme::PebbleOptions;
use tokio::sync::Notify;

use super::support::{Authority, Running, SOON};

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
    let wait = until.duration_since(std::time::SystemTime::now()).unwrap();
    assert!(wait.as_secs() <= 72, "{wait:?}");
    assert!(why.contains("1 attempts") || why.contains("failed"), "{why}");
    edge.stop().await;

    // A minute later.
    let store = authority.store();
    let clock = super::support::HandClock::at(until + std::time::Duration::from_secs(1));
    let config = authority.config(&["alice.irp.test"], authority.zone());
    let mut edge = Running::start_with(config, store, irp_edge::certs::Certificates::new(), Arc::new(clock));
    edge.ready().await;
    assert_eq!((authority.pebble.orders(), authority.pebble.certificates()), (1, 1));
    edge.stop().await;
}
