//! Who is connected and what is in flight, counted by guards that cannot forget to count back.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
};

use tokio::sync::Notify;

use super::{Clock, Moment};

/// Counts sessions and requests; clones count into the same account.
///
/// A request costs one atomic addition at its start and one at its end, and takes no lock. Only sessions wake
/// the driver.
#[derive(Debug, Clone)]
pub struct Activity {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sessions: AtomicU32,
    requests: AtomicU32,
    /// Events that wait to be delivered.
    waiting: AtomicU64,
    /// When a session ended last, in nanoseconds of the clock; zero while none has.
    ended: AtomicU64,
    changed: Notify,
    clock: Arc<dyn Clock>,
}

/// What [`Activity`] held at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Sessions that are open.
    pub sessions: u32,
    /// Requests in flight.
    pub requests: u32,
    /// Whether events wait to be delivered.
    pub waiting: bool,
    /// When the last session ended; `None` while none has.
    pub last_ended: Option<Moment>,
}

impl Activity {
    /// Nobody is there yet. `clock` must be the one the [`IdleTimer`](super::IdleTimer) is asked with.
    pub fn new(clock: impl Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                sessions: AtomicU32::new(0),
                requests: AtomicU32::new(0),
                waiting: AtomicU64::new(0),
                ended: AtomicU64::new(0),
                changed: Notify::new(),
                clock: Arc::new(clock),
            }),
        }
    }

    /// A session begins; it ends when the guard is dropped.
    pub fn session(&self) -> SessionGuard {
        self.shared.sessions.fetch_add(1, SeqCst);
        self.shared.changed.notify_one();
        SessionGuard { shared: Arc::clone(&self.shared) }
    }

    /// A request begins; it ends when the guard is dropped, which is after the last byte of the response.
    pub fn request(&self) -> RequestGuard {
        self.shared.requests.fetch_add(1, SeqCst);
        RequestGuard { shared: Arc::clone(&self.shared) }
    }

    /// So many events wait to be delivered: the machine must not end before them.
    pub fn set_waiting(&self, events: u64) {
        if (self.shared.waiting.swap(events, SeqCst) > 0) != (events > 0) {
            self.shared.changed.notify_one();
        }
    }

    /// What there is now.
    #[must_use]
    pub fn seen(&self) -> Seen {
        // The count is read before the time of the last end, and a guard writes them the other way round: who
        // sees no session also sees when the last one ended.
        let sessions = self.shared.sessions.load(SeqCst);
        let requests = self.shared.requests.load(SeqCst);
        let waiting = self.shared.waiting.load(SeqCst) > 0;
        let ended = self.shared.ended.load(SeqCst);
        let last_ended = (ended > 0).then(|| Moment::from_nanos(ended));
        Seen { sessions, requests, waiting, last_ended }
    }

    /// The present moment of the clock that this was made with.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    /// Completes when a session has begun or ended since the last call.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

/// One open session.
#[derive(Debug)]
#[must_use = "the session ends when this is dropped"]
pub struct SessionGuard {
    shared: Arc<Shared>,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.shared.ended.store(self.shared.clock.now().as_nanos().max(1), SeqCst);
        self.shared.sessions.fetch_sub(1, SeqCst);
        self.shared.changed.notify_one();
    }
}

/// One request in flight.
#[derive(Debug)]
#[must_use = "the request ends when this is dropped"]
pub struct RequestGuard {
    shared: Arc<Shared>,
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.shared.requests.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::idle::BootClock;

    #[derive(Debug)]
    struct Fixed(AtomicU64);

    impl Clock for Fixed {
        fn now(&self) -> Moment {
            Moment::at(Duration::from_secs(self.0.load(SeqCst)))
        }
    }

    #[test]
    fn guards_count_and_remember_the_last_end() {
        let clock = Arc::new(Fixed(AtomicU64::new(5)));
        let activity = Activity::new(Arc::clone(&clock));
        assert_eq!(activity.seen(), Seen::default());

        let first = activity.session();
        let second = activity.session();
        let request = activity.request();
        assert_eq!((activity.seen().sessions, activity.seen().requests), (2, 1));

        clock.0.store(7, SeqCst);
        drop(second);
        drop(request);
        clock.0.store(9, SeqCst);
        drop(first);
        assert_eq!(
            activity.seen(),
            Seen {
                sessions: 0,
                requests: 0,
                waiting: false,
                last_ended: Some(Moment::at(Duration::from_secs(9)))
            }
        );
    }

    #[test]
    fn nothing_is_miscounted_under_contention() {
        let activity = Activity::new(BootClock);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let _session = activity.session();
                        let _request = activity.request();
                    }
                });
            }
        });
        let seen = activity.seen();
        assert_eq!((seen.sessions, seen.requests), (0, 0));
        assert!(seen.last_ended.is_some());
    }
}
