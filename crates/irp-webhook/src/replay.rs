//! The memory against replays: which signings were seen within the time that their timestamps allow.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, SystemTime},
};

/// Whether a signing is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// For the first time.
    New,
    /// It was here before.
    Again,
}

/// Fingerprints, each until its time is over; when there are too many, the oldest goes first. Only what was
/// verified comes in here, so a stranger cannot push others out.
#[derive(Debug)]
pub struct Replays {
    capacity: usize,
    until: HashMap<[u8; 32], SystemTime>,
    order: VecDeque<([u8; 32], SystemTime)>,
}

impl Replays {
    /// A memory for this many signings; each takes some 150 bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, until: HashMap::new(), order: VecDeque::new() }
    }

    /// Notes a signing for `span` from `now`.
    pub fn see(&mut self, fingerprint: [u8; 32], now: SystemTime, span: Duration) -> Seen {
        while let Some((oldest, until)) = self.order.front().copied() {
            if until > now && self.order.len() < self.capacity {
                break;
            }
            self.order.pop_front();
            // A signing that was forgotten and noted again has a later end.
            if self.until.get(&oldest) == Some(&until) {
                self.until.remove(&oldest);
            }
        }
        if self.until.get(&fingerprint).is_some_and(|until| *until > now) {
            return Seen::Again;
        }
        let until = now.checked_add(span).unwrap_or(now);
        self.until.insert(fingerprint, until);
        self.order.push_back((fingerprint, until));
        Seen::New
    }

    /// Forgets a signing, since nothing came of its request: the provider may send the same again.
    pub fn forget(&mut self, fingerprint: &[u8; 32]) {
        self.until.remove(fingerprint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn a_signing_is_known_until_its_time_is_over() {
        let mut replays = Replays::new(10);
        let mut see = |number: u8, second| replays.see([number; 32], at(second), Duration::from_secs(600));
        assert_eq!(see(1, 0), Seen::New);
        assert_eq!(see(1, 599), Seen::Again);
        assert_eq!(see(2, 599), Seen::New);
        assert_eq!(see(1, 600), Seen::New);
        assert_eq!(see(2, 600), Seen::Again);
    }

    #[test]
    fn what_is_forgotten_may_come_again() {
        let mut replays = Replays::new(10);
        let span = Duration::from_secs(600);
        assert_eq!(replays.see([1; 32], at(0), span), Seen::New);
        replays.forget(&[1; 32]);
        assert_eq!(replays.see([1; 32], at(300), span), Seen::New);
        // The first note's end does not end the second.
        assert_eq!(replays.see([1; 32], at(700), span), Seen::Again);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut replays = Replays::new(3);
        for number in 0..100 {
            assert_eq!(replays.see([number; 32], at(0), Duration::from_secs(600)), Seen::New);
            assert!(replays.until.len() <= 3 && replays.order.len() <= 3);
        }
        assert_eq!(replays.see([99; 32], at(1), Duration::from_secs(600)), Seen::Again);
    }
}
