//! How many lanes a session has and wants.
//!
//! One rule makes them grow: a request that finds no idle lane goes over HTTP/2 *and* asks for one more,
//! unless [`DIALS_MAX`] are under way or the ceiling is reached. Only the edge closes an idle lane, so no
//! request can cross a close.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// How many lanes a session keeps although nobody uses them.
pub(super) const FLOOR: usize = 4;

/// How many lanes a session may have; more than the concurrency of an ordinary site, or the gain is gone.
pub(super) const CEILING: u16 = 32;

/// How many dials may be under way: a handshake costs a millisecond of CPU, and a storm of them delays all.
const DIALS_MAX: u16 = 8;

/// After this time a dial that was asked for is taken as failed, whatever became of it.
const DIAL_LOST_AFTER: Duration = Duration::from_secs(15);

/// A lane above the floor that was unused for so long is closed.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(60);

/// The count of a session's lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    ceiling: u16,
    /// Read on each request that found no lane, so that a full session costs no lock.
    full: AtomicBool,
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    open: u16,
    dialling: u16,
    last_ask: Option<Instant>,
}

impl Lanes {
    pub(super) fn new(ceiling: u16) -> Self {
        Self { ceiling, full: AtomicBool::new(ceiling == 0), count: Mutex::default() }
    }

    /// Whether to ask the client for one more lane now; if so, it counts as under way.
    pub(super) fn want_more(&self, now: Instant) -> bool {
        self.ask(1, now) == 1
    }

    /// How many of `wanted` lanes to ask the client for now; they count as under way.
    pub(super) fn ask(&self, wanted: u16, now: Instant) -> u16 {
        if self.full.load(Ordering::Relaxed) {
            return 0;
        }
        self.change(|count, ceiling| {
            if count.last_ask.is_some_and(|asked| now.duration_since(asked) > DIAL_LOST_AFTER) {
                count.dialling = 0;
            }
            let room = ceiling.saturating_sub(count.open + count.dialling);
            let asked = wanted.min(room).min(DIALS_MAX.saturating_sub(count.dialling));
            if asked > 0 {
                count.dialling += asked;
                count.last_ask = Some(now);
            }
            asked
        })
    }

    /// A dial arrived; false when there is no room for it.
    pub(super) fn opened(&self) -> bool {
        self.change(|count, ceiling| {
            count.dialling = count.dialling.saturating_sub(1);
            let room = count.open < ceiling;
            count.open += u16::from(room);
            room
        })
    }

    /// A lane closed.
    pub(super) fn closed(&self) {
        self.change(|count, _| count.open = count.open.saturating_sub(1));
    }

    /// So many dials failed.
    pub(super) fn failed(&self, dials: u16) {
        self.change(|count, _| count.dialling = count.dialling.saturating_sub(dials));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Count, u16) -> T) -> T {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut count, self.ceiling);
        self.full.store(count.open >= self.ceiling, Ordering::Relaxed);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lanes_grow_to_the_ceiling_and_no_more_than_eight_dials_at_once() {
        let lanes = Lanes::new(10);
        let asked = (0..20).filter(|_| lanes.want_more(Instant::now())).count();
        assert_eq!(asked, 8);
        assert!((0..8).all(|_| lanes.opened()));
        assert_eq!(lanes.ask(20, Instant::now()), 2);
        assert!(lanes.opened() && lanes.opened() && !lanes.opened());
        assert!(!lanes.want_more(Instant::now()));
        lanes.closed();
        assert!(lanes.want_more(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn dials_that_fail_or_get_lost_make_room_for_others() {
        let lanes = Lanes::new(32);
        assert_eq!(lanes.ask(8, Instant::now()), 8);
        assert!(!lanes.want_more(Instant::now()));
        lanes.failed(1);
        assert!(lanes.want_more(Instant::now()));
        assert!(!lanes.want_more(Instant::now()));
        tokio::time::advance(DIAL_LOST_AFTER + Duration::from_secs(1)).await;
        assert!(lanes.want_more(Instant::now()));
    }

    #[test]
    fn a_ceiling_of_zero_is_http2_only() {
        let lanes = Lanes::new(0);
        assert!(!lanes.want_more(Instant::now()));
        assert!(!lanes.opened());
    }
}
