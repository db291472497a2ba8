//! How many lines a second are shown, and how many are only counted.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Lets `most` lines through in each second.
#[derive(Debug)]
pub(crate) struct Rate {
    most: u32,
    since: Option<Instant>,
    shown: u32,
    left_out: u64,
}

impl Rate {
    /// A rate of `most` lines a second.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, since: None, shown: 0, left_out: 0 }
    }

    /// Whether one more line may be shown now. A line that may not is counted.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= SECOND) {
            self.since = Some(now);
            self.shown = 0;
        }
        if self.shown < self.most {
            self.shown += 1;
            return true;
        }
        self.left_out += 1;
        false
    }

    /// Counts lines that somebody else has left out.
    pub(crate) fn left_out(&mut self, count: u64) {
        self.left_out += count;
    }

    /// How many lines were left out until now, once their second is over; then it counts anew.
    pub(crate) fn take_left_out(&mut self, now: Instant) -> Option<u64> {
        let over = self.since.is_none_or(|since| now.duration_since(since) >= SECOND);
        (over && self.left_out > 0).then(|| std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_and_told_when_the_second_is_over() {
        let start = Instant::now();
        let mut rate = Rate::new(2);
        let shown = (0..1_236).filter(|_| rate.admits(start)).count();
        assert_eq!(shown, 2);
        assert_eq!(rate.take_left_out(start), None);
        let later = start + SECOND;
        assert_eq!(rate.take_left_out(later), Some(1_234));
        assert_eq!(rate.take_left_out(later), None);
        assert!(rate.admits(later));
    }
}
