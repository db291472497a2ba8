//! How long to wait before the next attempt.
//!
//! The first attempt after a loss is made at once. Then waits double, with jitter so that a thousand clients
//! of a restarted edge do not come back in one moment. They begin anew only when a link has *held*: an edge
//! that takes a client and drops it again must not be dialled in a tight loop.

use std::time::Duration;

/// The longest wait after a failure that is not the network's, such as a refusal.
const CAP: Duration = Duration::from_secs(10);

/// The longest wait while the network is away: the tunnel must stand within 5 s of its return, of which a
/// dial under way may already have used 3.
const CAP_NETWORK: Duration = Duration::from_secs(1);

/// The wait before the second attempt, without jitter.
const FIRST: Duration = Duration::from_millis(250);

/// How long a link must stand to count as good.
const HELD: Duration = Duration::from_secs(30);

/// What an attempt failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing came through.
    Network,
    /// Somebody answered, but not as hoped.
    Peer,
}

/// The state of the waits.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after a failure; `random` is from 0 to 1.
    pub(crate) fn after_failure(&mut self, fault: Fault, random: f64) -> Duration {
        let cap = match fault {
            Fault::Network => CAP_NETWORK,
            Fault::Peer => CAP,
        };
        let doubled = FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        doubled.min(cap).mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// The wait after a link that stood for `held` is gone.
    pub(crate) fn after_loss(&mut self, held: Duration, random: f64) -> Duration {
        if held >= HELD {
            self.failures = 0;
        }
        if self.failures == 0 {
            self.failures = 1;
            return Duration::ZERO;
        }
        self.after_failure(Fault::Peer, random)
    }
}

/// A random number from 0 to 1 for the jitter.
pub(crate) fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the jitter is lost, nothing else.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_cap_and_never_beyond() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.after_failure(Fault::Peer, 1.0)).collect();
        assert_eq!(waits[0], FIRST);
        assert_eq!(waits[1], 2 * FIRST);
        assert_eq!(waits[7], CAP);
        assert_eq!(backoff.after_failure(Fault::Network, 1.0), CAP_NETWORK);
        assert_eq!(backoff.after_failure(Fault::Network, 0.0), CAP_NETWORK / 2);
    }

    #[test]
    fn only_a_link_that_held_begins_anew() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.after_loss(Duration::ZERO, 1.0), Duration::ZERO);
        let second = backoff.after_loss(Duration::from_secs(1), 1.0);
        let third = backoff.after_loss(Duration::from_secs(1), 1.0);
        assert!(Duration::ZERO < second && second < third);
        assert_eq!(backoff.after_loss(HELD, 1.0), Duration::ZERO);
    }

    #[test]
    fn jitter_is_between_0_and_1() {
        for _ in 0..100 {
            assert!((0.0..=1.0).contains(&random()));
        }
    }
}
