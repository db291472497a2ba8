//! The lease under which one of several processes orders: how long it binds the others, and what becomes of the work
//! of a process that lost it. The clocks stand still until they are moved.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::BoxFuture;
use irp_edge::certs::{
    Certificates, Challenge, Clock as _, Dns, FileStore, Source, Status, Store,
    lease::{Acquired, EXTENDED_EVERY, LASTS, acquire},
    solve::DnsError,
    store::{Blob, BlobName, StoreError, When, Written},
};
use irp_testkit::acme::PebbleOptions;
use tokio::{sync::watch, time::timeout};

use super::{
    contract::{done, name},
    support::{Authority, HandClock, Running, SOON, Zone},
};

const HOST: &str = "alice.irp.test";
const SECOND: Duration = Duration::from_secs(1);

/// A whole second, since a lease is kept in milliseconds; somewhat ahead, so that what is issued is valid already.
fn start() -> SystemTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UNIX_EPOCH + Duration::from_secs(now.as_secs() + 60)
}

fn edge(authority: &Authority, challenge: Challenge, store: Arc<dyn Store>, clock: &HandClock) -> Running {
    let config = authority.config(&[HOST], challenge);
    Running::start_with(config, store, Certificates::new(), Arc::new(clock.clone()))
}

/// The only blob whose name begins so.
async fn only(store: &dyn Store, prefix: &str) -> Vec<u8> {
    let names = store.list(prefix).await.unwrap();
    let [name] = &names[..] else { panic!("{prefix}: {names:?}") };
    store.get(name).await.unwrap().unwrap().bytes().to_vec()
}

/// The end that a lease tells.
fn end(lease: &[u8]) -> SystemTime {
    let lease: serde_json::Value = serde_json::from_slice(lease).unwrap();
    UNIX_EPOCH + Duration::from_millis(lease["ends"].as_u64().unwrap())
}

async fn reaches(count: &watch::Sender<usize>, wanted: usize) {
    let mut count = count.subscribe();
    if timeout(SOON, count.wait_for(|count| *count >= wanted)).await.is_err() {
        panic!("{} of {wanted}", *count.borrow());
    }
}

/// A zone in which a record is visible once it is told so.
#[derive(Debug)]
struct Gate {
    zone: Zone,
    asked: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Gate {
    fn of(authority: &Authority) -> Arc<Self> {
        let zone = Zone { responder: Arc::clone(&authority.dns) };
        Arc::new(Self { zone, asked: watch::Sender::new(0), open: watch::Sender::new(false) })
    }

    fn challenge(self: &Arc<Self>) -> Challenge {
        Challenge::Dns01(Arc::clone(self) as Arc<dyn Dns>)
    }
}

impl Dns for Gate {
    fn set_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        self.zone.set_txt(name, value)
    }

    fn clear_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        self.zone.clear_txt(name, value)
    }

    fn wait_visible<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(async move {
            self.asked.send_modify(|asked| *asked += 1);
            let _ = self.open.subscribe().wait_for(|open| *open).await;
            Ok(())
        })
    }
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Failed,
    /// Done once that is its fate.
    Late,
}

/// A store with a fate for writes to blobs of one kind.
#[derive(Debug)]
struct FatedStore {
    inner: Arc<dyn Store>,
    kind: &'static str,
    fate: watch::Sender<Fate>,
    /// How many of these writes were done, have failed, or are late.
    met: watch::Sender<usize>,
}

impl FatedStore {
    fn of(authority: &Authority, kind: &'static str, fate: Fate) -> Arc<Self> {
        let (fate, met) = (watch::Sender::new(fate), watch::Sender::new(0));
        Arc::new(Self { inner: authority.store(), kind, fate, met })
    }
}

impl Store for FatedStore {
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
            if !name.as_str().starts_with(self.kind) {
                return self.inner.put(name, bytes, when).await;
            }
            let fate = *self.fate.borrow();
            let written = match fate {
                Fate::Done => self.inner.put(name, bytes, when).await,
                Fate::Failed => Err(StoreError::Put { name: name.clone(), source: "it is its fate".into() }),
                Fate::Late => {
                    self.met.send_modify(|met| *met += 1);
                    let _ = self.fate.subscribe().wait_for(|fate| *fate == Fate::Done).await;
                    return self.inner.put(name, bytes, when).await;
                }
            };
            self.met.send_modify(|met| *met += 1);
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

#[tokio::test]
async fn a_lease_binds_others_until_its_end_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease, now) = (FileStore::open(dir.path()).unwrap(), name("lease"), start());
    let millisecond = Duration::from_millis(1);

    let Acquired::Held(mut one) = acquire(&store, &lease, "one", now).await.unwrap() else { panic!() };
    assert_eq!((one.due(), one.ends()), (now + EXTENDED_EVERY, now + LASTS));
    let busy = acquire(&store, &lease, "two", now + LASTS - millisecond).await.unwrap();
    assert!(matches!(busy, Acquired::Busy { until } if until == now + LASTS), "{busy:?}");

    // Extended it lasts from then on.
    assert!(one.extend(&store, one.due()).await.unwrap());
    let extended = now + EXTENDED_EVERY + LASTS;
    assert_eq!(one.ends(), extended);
    let busy = acquire(&store, &lease, "two", extended - millisecond).await.unwrap();
    assert!(matches!(busy, Acquired::Busy { until } if until == extended), "{busy:?}");

    // At its end it is the next one's. The first one learns so, and takes away nothing of it.
    let Acquired::Held(two) = acquire(&store, &lease, "two", extended).await.unwrap() else { panic!() };
    assert!(!one.extend(&store, extended).await.unwrap());
    assert_eq!(one.ends(), extended, "what was refused extends nothing");
    let held = only(&store, "lease").await;
    one.release(&store).await.unwrap();
    assert_eq!(only(&store, "lease").await, held);
    two.release(&store).await.unwrap();
    assert!(store.get(&lease).await.unwrap().is_none());
}

#[tokio::test]
async fn an_end_that_no_sane_clock_wrote_binds_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease, now) = (FileStore::open(dir.path()).unwrap(), name("lease"), start());
    for (ahead, binds) in [(600_000, true), (600_001, false), (86_400_000, false)] {
        let end = now + Duration::from_millis(ahead);
        let millis = end.duration_since(UNIX_EPOCH).unwrap().as_millis();
        let record = format!(r#"{{"owner":"one","ends":{millis}}}"#);
        done(store.put(&lease, record.as_bytes(), When::Always).await.unwrap());
        match acquire(&store, &lease, "two", now).await.unwrap() {
            Acquired::Busy { until } => assert!(binds && until == end, "{ahead} ms"),
            Acquired::Held(held) => assert!(!binds && held.ends() == now + LASTS, "{ahead} ms"),
        }
    }
}

#[tokio::test]
async fn the_next_process_waits_for_the_end_of_a_killed_ones_lease_and_fetches_what_that_ordered() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let clock = HandClock::at(start());
    let began = clock.now();
    let late = FatedStore::of(&authority, "certificate-", Fate::Late);
    let first = edge(&authority, authority.zone(), late.clone(), &clock);
    reaches(&late.met, 1).await;
    first.kill().await;

    let mut second = edge(&authority, authority.zone(), authority.store(), &clock);
    let (until, why) = second.waiting().await;
    assert_eq!(why, "another process is ordering the certificate");
    assert!(until > began && until <= began + LASTS, "{until:?}");
    clock.advance(LASTS - SECOND);
    second.status(|status| matches!(status, Status::Waiting { until, .. } if *until == began + LASTS)).await;
    assert!(second.certificates.is_empty());
    clock.advance(SECOND);
    assert!(matches!(second.ready().await, Status::Ready { source: Source::Ordered, .. }));
    assert_eq!((authority.pebble.orders(), authority.pebble.certificates()), (1, 1));
    assert!(authority.store().list("lease-").await.unwrap().is_empty());
    second.stop().await;
}

#[tokio::test]
async fn the_lease_is_extended_for_as_long_as_the_work_takes() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let (clock, gate) = (HandClock::at(start()), Gate::of(&authority));
    let store = FatedStore::of(&authority, "lease-", Fate::Done);
    let mut first = edge(&authority, gate.challenge(), store.clone(), &clock);
    reaches(&gate.asked, 1).await;
    let mut second = edge(&authority, authority.zone(), authority.store(), &clock);
    second.waiting().await;

    for extensions in 1..=10 {
        clock.advance(EXTENDED_EVERY);
        reaches(&store.met, 1 + extensions).await;
        assert_eq!(end(&only(&*store, "lease-").await), clock.now() + LASTS);
        // The other one has asked again.
        let now = clock.now();
        let status = second.status(|status| matches!(status, Status::Waiting { until, .. } if *until > now));
        let Status::Waiting { why, .. } = status.await else { unreachable!() };
        assert_eq!(why, "another process is ordering the certificate");
    }
    gate.open.send_replace(true);
    assert!(matches!(first.ready().await, Status::Ready { source: Source::Ordered, .. }));
    clock.advance(EXTENDED_EVERY);
    assert!(matches!(second.ready().await, Status::Ready { source: Source::Cache, .. }));
    assert_eq!((authority.pebble.orders(), authority.pebble.certificates()), (1, 1));
    first.stop().await;
    second.stop().await;
}

/// Two edges: the work of the first one stands still, as on a machine that is suspended, until the second one has the
/// lease and is in the midst of its own.
struct Overtaken {
    authority: Authority,
    began: SystemTime,
    first: Running,
    clock_of_first: HandClock,
    second: Running,
    clock_of_second: HandClock,
    gate_of_second: Arc<Gate>,
}

impl Overtaken {
    /// `first` is at work, and `clock_of_first` stands still.
    async fn make(authority: Authority, first: Running, clock_of_first: HandClock) -> Self {
        let (began, gate_of_second) = (clock_of_first.now(), Gate::of(&authority));
        let clock_of_second = HandClock::at(began);
        let mut second = edge(&authority, gate_of_second.challenge(), authority.store(), &clock_of_second);
        second.waiting().await;
        clock_of_second.advance(LASTS);
        // What the first one began counts as failed, so that there is a pause after it.
        let broken_off =
            |status: &Status| matches!(status, Status::Waiting { why, .. } if why.contains("broken off"));
        let Status::Waiting { until, .. } = second.status(broken_off).await else { unreachable!() };
        clock_of_second.advance(until.duration_since(clock_of_second.now()).unwrap());
        reaches(&gate_of_second.asked, 1).await;
        Self { authority, began, first, clock_of_first, second, clock_of_second, gate_of_second }
    }

    /// What the store holds of the second one's work.
    async fn at_work(&self) -> [Vec<u8>; 2] {
        let store = self.authority.store();
        [only(&*store, "lease-").await, only(&*store, "order-").await]
    }

    /// The first one is told that its order is called off, and nothing of the second one's has changed.
    async fn first_gives_way(&mut self, at_work: &[Vec<u8>; 2]) {
        let called_off =
            |status: &Status| matches!(status, Status::Waiting { why, .. } if why.contains("called off"));
        self.first.status(called_off).await;
        assert!(self.first.certificates.is_empty());
        assert!(self.at_work().await == *at_work, "the first one has written over the second one's work");
    }

    /// The second one completes its order, and the first one takes the certificate over.
    async fn second_goes_on(mut self) -> Authority {
        self.gate_of_second.open.send_replace(true);
        assert!(matches!(self.second.ready().await, Status::Ready { source: Source::Ordered, .. }));
        let apart = self.clock_of_second.now().duration_since(self.clock_of_first.now()).unwrap_or_default();
        self.clock_of_first.advance(apart + 4 * EXTENDED_EVERY);
        assert!(matches!(self.first.ready().await, Status::Ready { source: Source::Cache, .. }));
        assert_eq!(self.authority.pebble.certificates(), 1);
        assert_eq!(self.authority.dns.txt_count(&format!("_acme-challenge.{HOST}")), 0);
        self.first.stop().await;
        self.second.stop().await;
        self.authority
    }
}

#[tokio::test]
async fn who_slept_through_its_lease_leaves_the_order_and_its_proof_to_who_goes_on_with_it() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let (clock, gate) = (HandClock::at(start()), Gate::of(&authority));
    let first = edge(&authority, gate.challenge(), authority.store(), &clock);
    reaches(&gate.asked, 1).await;
    let mut overtaken = Overtaken::make(authority, first, clock.clone()).await;

    let at_work = overtaken.at_work().await;
    clock.advance(overtaken.clock_of_second.now().duration_since(overtaken.began).unwrap());
    overtaken.first_gives_way(&at_work).await;
    assert_eq!(overtaken.second_goes_on().await.pebble.orders(), 1);
}

#[tokio::test]
async fn the_order_of_who_has_the_lease_is_not_replaced_by_one_that_comes_late() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let clock = HandClock::at(start());
    let late = FatedStore::of(&authority, "order-", Fate::Late);
    let first = edge(&authority, authority.zone(), late.clone(), &clock);
    reaches(&late.met, 1).await;
    let mut overtaken = Overtaken::make(authority, first, clock).await;

    let at_work = overtaken.at_work().await;
    late.fate.send_replace(Fate::Done);
    overtaken.first_gives_way(&at_work).await;
    // The first one's order was made, and nobody could know of it; it is never completed.
    assert_eq!(overtaken.second_goes_on().await.pebble.orders(), 2);
}

#[tokio::test]
async fn work_ends_before_the_lease_does_where_the_store_fails() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let (clock, gate) = (HandClock::at(start()), Gate::of(&authority));
    let began = clock.now();
    let store = FatedStore::of(&authority, "lease-", Fate::Done);
    let mut first = edge(&authority, gate.challenge(), store.clone(), &clock);
    reaches(&gate.asked, 1).await;
    let proofs = || authority.dns.txt_count(&format!("_acme-challenge.{HOST}"));

    // Once does no harm,
    store.fate.send_replace(Fate::Failed);
    clock.advance(EXTENDED_EVERY);
    reaches(&store.met, 2).await;
    store.fate.send_replace(Fate::Done);
    clock.advance(EXTENDED_EVERY);
    reaches(&store.met, 3).await;
    assert_eq!(end(&only(&*store, "lease-").await), clock.now() + LASTS);
    assert!(matches!(*first.status.borrow(), Status::Ordering { .. }) && proofs() == 1);

    // twice in a row does: others may begin soon.
    let extended = clock.now();
    store.fate.send_replace(Fate::Failed);
    clock.advance(EXTENDED_EVERY);
    reaches(&store.met, 4).await;
    assert!(matches!(*first.status.borrow(), Status::Ordering { .. }) && proofs() == 1);
    clock.advance(EXTENDED_EVERY);
    let (_, why) = first.waiting().await;
    assert!(why.contains("called off"), "{why}");
    assert!(proofs() == 0 && clock.now() < extended + LASTS, "{:?}", clock.now().duration_since(began));
    first.stop().await;
}
