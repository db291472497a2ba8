//! Whether a call is made again, and when: pure, so that a minute of back-off is tested in no time.
//!
//! Throttled calls wait longer than those that a network lost. What was made a moment ago may be unknown to the next
//! call (eventual consistency); a caller who knows that it exists asks for patience with that.

use std::time::Duration;

use crate::error::{Error, Kind};

/// How often and how fast calls are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Tries of one call, the first included, when AWS throttles, fails or is not reached.
    pub tries: u32,
    /// The first wait after a throttled try, at most; it doubles from try to try.
    pub throttled: Duration,
    /// The first wait after a failure of AWS or the network, at most; it doubles.
    pub failed: Duration,
    /// The wait for what was made a moment ago, at most; it does not double, since a person waits.
    pub settling: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            tries: 6,
            // Route 53 takes five calls a second from a whole account.
            throttled: Duration::from_secs(1),
            failed: Duration::from_millis(200),
            settling: Duration::from_secs(2),
            longest: Duration::from_secs(15),
        }
    }
}

impl Pace {
    /// The same tries in milliseconds, for tests against servers on this machine.
    #[must_use]
    pub fn brisk() -> Self {
        let a_moment = Duration::from_millis(20);
        Self {
            throttled: a_moment,
            failed: a_moment,
            settling: a_moment,
            longest: a_moment,
            ..Self::default()
        }
    }

    /// Whether to make a call again after it failed for the `tried`-th time, and after which wait at most.
    ///
    /// `repeatable` says whether it may have taken effect twice without harm; `settles` for how long what it names
    /// may yet appear, `since` how long the call has been tried.
    pub(crate) fn again(
        &self,
        tried: u32,
        error: &Error,
        repeatable: bool,
        settles: Duration,
        since: Duration,
    ) -> Option<Duration> {
        if settling(error) {
            return (since < settles).then_some(self.settling);
        }
        let first = match error.kind() {
            Kind::Throttled => self.throttled,
            Kind::Service | Kind::Network if repeatable => self.failed,
            _ => return None,
        };
        (tried < self.tries)
            .then(|| (first * 2_u32.saturating_pow(tried.saturating_sub(1))).min(self.longest))
    }
}

/// Whether time mends it: what is named may not be known everywhere yet.
fn settling(error: &Error) -> bool {
    match error.kind() {
        Kind::NotFound | Kind::InUse => true,
        // A role or profile that was made a moment ago.
        Kind::Invalid => {
            let message = error.message();
            message.contains("Invalid IAM Instance Profile")
                || (error.is("MalformedPolicyDocument") && message.contains("Invalid principal"))
        }
        _ => false,
    }
}

/// A wait between a half and the whole of `longest`, so that many who were refused at once do not come back at once.
pub(crate) fn jittered(longest: Duration, random: u16) -> Duration {
    longest.mul_f64(0.5 + f64::from(random) / f64::from(u16::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Action, service::Service};

    fn error(kind: Kind) -> Error {
        Error::new(Action { service: Service::Ec2, operation: "DescribeInstances" }, kind, "")
    }

    #[test]
    fn throttled_calls_wait_longer_and_longer_and_then_give_up() {
        let pace = Pace::default();
        let throttled = error(Kind::Throttled);
        let waits: Vec<_> = (1..=6)
            .map(|tried| pace.again(tried, &throttled, false, Duration::ZERO, Duration::ZERO))
            .map(|wait| wait.map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(8), Some(15), None]);
    }

    #[test]
    fn what_may_have_happened_is_only_repeated_where_that_is_harmless() {
        let pace = Pace::default();
        for kind in [Kind::Network, Kind::Service] {
            let error = error(kind);
            assert!(pace.again(1, &error, true, Duration::ZERO, Duration::ZERO).is_some());
            assert!(pace.again(1, &error, false, Duration::ZERO, Duration::ZERO).is_none());
        }
        for kind in [Kind::Denied, Kind::Invalid, Kind::Quota, Kind::Exists, Kind::Answer] {
            assert!(pace.again(1, &error(kind), true, Duration::MAX, Duration::ZERO).is_none());
        }
    }

    #[test]
    fn what_was_just_made_is_waited_for_as_long_as_asked() {
        let (pace, missing) = (Pace::default(), error(Kind::NotFound));
        let settles = Duration::from_secs(30);
        assert_eq!(pace.again(1, &missing, true, Duration::ZERO, Duration::ZERO), None);
        assert_eq!(pace.again(40, &missing, true, settles, Duration::from_secs(29)), Some(pace.settling));
        assert_eq!(pace.again(2, &missing, true, settles, Duration::from_secs(31)), None);
    }

    #[test]
    fn a_wait_is_at_least_half() {
        let longest = Duration::from_secs(2);
        assert_eq!(jittered(longest, 0), Duration::from_secs(1));
        assert_eq!(jittered(longest, u16::MAX), longest);
    }
}
