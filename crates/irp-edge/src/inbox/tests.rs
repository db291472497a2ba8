use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{BoxFuture, join_all};

use super::{record::tests::event, *};

/// A clock that a test sets.
#[derive(Debug, Default)]
struct Set(AtomicU64);

impl Clock for Set {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, _: SystemTime) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

struct Place {
    folder: tempfile::TempDir,
    clock: Arc<Set>,
}

impl Place {
    fn new() -> Self {
        let clock = Arc::new(Set(AtomicU64::new(1_700_000_000_000)));
        Self { folder: tempfile::tempdir().unwrap(), clock }
    }

    fn open(&self, bounds: Bounds, key: u8) -> Result<Inbox, OpenError> {
        let path = self.folder.path().join("inbox.redb");
        Inbox::open(&path, Seal::new(&[key; seal::KEY_LEN]), bounds, Arc::clone(&self.clock) as _)
    }
}

fn queue(path: &str) -> Queue {
    Queue { host: "alice.localhost".parse().unwrap(), path: path.into() }
}

#[tokio::test]
async fn what_was_parked_outlives_the_process_in_its_order() {
    let place = Place::new();
    let inbox = place.open(Bounds::DEFAULT, 1).unwrap();
    // All at once: they share commits.
    let parked = join_all((0..100).map(|number| inbox.park(event("/slack/events", number), false))).await;
    let expected: Vec<_> = (1..=100).map(|number| Ok(Parked::New(number))).collect();
    assert_eq!(parked, expected);
    assert_eq!(inbox.attempt_failed(2, true).await, Some((1, false)));
    inbox.delivered(1).await;
    assert!(inbox.discard(100).await && !inbox.discard(100).await);
    inbox.close().await;
    assert_eq!(inbox.park(event("/a", 200), false).await, Err(ParkError::Gone));
    drop(inbox);

    let inbox = place.open(Bounds::DEFAULT, 1).unwrap();
    assert_eq!(inbox.counts().waiting, 98);
    for number in 1..99 {
        let (place, entry) = inbox.next(&queue("/slack/events")).unwrap();
        assert_eq!((place, entry.attempts), (u64::from(number) + 1, u32::from(number == 1)));
        assert_eq!(inbox.read(place).await.unwrap().unwrap(), event("/slack/events", number));
        inbox.delivered(place).await;
        assert_eq!(inbox.read(place).await.unwrap(), None);
    }
    // What was delivered before the restart is known as well; and no number is given twice.
    assert_eq!(inbox.park(event("/slack/events", 0), false).await, Ok(Parked::Again));
    assert_eq!(inbox.park(event("/slack/events", 100), false).await, Ok(Parked::New(101)));
    place.clock.0.fetch_add(DONE_KEPT_MS, Ordering::SeqCst);
    assert_eq!(inbox.park(event("/slack/events", 0), false).await, Ok(Parked::New(102)));
    inbox.close().await;
}

#[tokio::test]
async fn the_same_delivery_is_kept_once_however_fast_it_comes_again() {
    let place = Place::new();
    let inbox = place.open(Bounds::DEFAULT, 1).unwrap();
    let parked = join_all((0..20).map(|_| inbox.park(event("/a", 7), false))).await;
    let new = parked.iter().filter(|parked| matches!(parked, Ok(Parked::New(1)))).count();
    let again = parked.iter().filter(|parked| **parked == Ok(Parked::Again)).count();
    assert_eq!((new, again), (1, 19), "{parked:?}");
    inbox.close().await;
}

#[tokio::test]
async fn nothing_is_taken_in_beyond_the_bounds_and_old_events_go() {
    let place = Place::new();
    let bounds = Bounds { events: 2, age: Duration::from_secs(60), ..Bounds::DEFAULT };
    let inbox = place.open(bounds, 1).unwrap();
    for number in 0..2 {
        assert!(inbox.park(event("/a", number), false).await.is_ok());
    }
    assert_eq!(inbox.park(event("/a", 2), false).await, Err(ParkError::Full));
    assert_eq!(inbox.expire().await, 0);
    place.clock.0.fetch_add(61_000, Ordering::SeqCst);
    assert_eq!(inbox.expire().await, 2);
    assert_eq!(inbox.counts(), Counts::default());
    inbox.close_door("the machine ends");
    assert_eq!(inbox.park(event("/a", 3), false).await, Err(ParkError::Closed("the machine ends")));
    inbox.close().await;
}

#[tokio::test]
async fn another_key_opens_nothing_and_changes_nothing() {
    let place = Place::new();
    let inbox = place.open(Bounds::DEFAULT, 1).unwrap();
    inbox.park(event("/a", 1), false).await.unwrap();
    inbox.close().await;
    drop(inbox);
    assert!(matches!(place.open(Bounds::DEFAULT, 2), Err(OpenError::OtherKey(1))));
    let inbox = place.open(Bounds::DEFAULT, 1).unwrap();
    assert_eq!(inbox.counts().waiting, 1);
    let disk = std::fs::read(place.folder.path().join("inbox.redb")).unwrap();
    for secret in [&b"x-slack-signature"[..], b"/a?a=b", &[1; 64]] {
        assert!(!disk.windows(secret.len()).any(|window| window == secret), "in plain text on the disk");
    }
    inbox.close().await;
}

#[tokio::test]
async fn two_edges_do_not_share_a_file_and_the_second_one_hears_why() {
    let place = Place::new();
    let inbox = place.open(Bounds::DEFAULT, 1).unwrap();
    let error = place.open(Bounds::DEFAULT, 1).unwrap_err().to_string();
    assert!(error.contains("another edge on this machine has it open"), "{error}");
    inbox.close().await;
}

#[tokio::test]
async fn what_one_machine_has_kept_another_one_takes_in_once() {
    let (old, new) = (Place::new(), Place::new());
    let inbox = old.open(Bounds::DEFAULT, 1).unwrap();
    assert_eq!(inbox.export().await.unwrap(), None);
    for number in 0..3 {
        inbox.park(event("/a", number), false).await.unwrap();
    }
    inbox.delivered(1).await;
    inbox.attempt_failed(3, true).await;
    let snapshot = inbox.export().await.unwrap().unwrap();
    // The file itself is the newer one.
    assert_eq!(inbox.import(&snapshot).await.unwrap(), 0);
    inbox.close().await;

    let other = new.open(Bounds::DEFAULT, 9).unwrap();
    assert!(matches!(other.import(&snapshot).await, Err(ImportError::Seal(_))));
    assert!(matches!(other.import(b"nothing").await, Err(ImportError::NoSnapshot(_))));
    other.close().await;
    drop(other);

    // A machine that keeps events already takes them in behind its own.
    let inbox = new.open(Bounds::DEFAULT, 1).unwrap();
    assert_eq!(inbox.park(event("/a", 9), false).await, Ok(Parked::New(1)));
    assert_eq!(inbox.import(&snapshot).await.unwrap(), 2);
    assert_eq!(inbox.import(&snapshot).await.unwrap(), 0);
    assert_eq!(inbox.park(event("/a", 3), false).await, Ok(Parked::New(4)));
    assert_eq!(inbox.park(event("/a", 1), false).await, Ok(Parked::Again));
    inbox.delivered(1).await;
    inbox.close().await;
    drop(inbox);
    let inbox = new.open(Bounds::DEFAULT, 1).unwrap();
    let (number, entry) = inbox.next(&queue("/a")).unwrap();
    assert_eq!((number, entry.attempts), (2, 0));
    assert_eq!(inbox.read(2).await.unwrap().unwrap(), event("/a", 1));
    assert_eq!(inbox.read(3).await.unwrap().unwrap(), event("/a", 2));
    assert_eq!(inbox.entries()[1].1.attempts, 1);
    assert_eq!(inbox.import(&snapshot).await.unwrap(), 0);
    inbox.close().await;
}
