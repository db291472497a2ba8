//! When a certificate is renewed: pure decisions.
//!
//! The window that the authority suggests wins (ARI, RFC 9773), since it also moves when certificates have to be
//! replaced early. Without one, or with one that makes no sense, it is two thirds of the life. Where in the
//! window depends on the certificate's own digest: many certificates spread out, while one keeps its moment over
//! restarts and in every process that shares it.

use std::time::{Duration, SystemTime};

/// The part of its life after which a certificate without ARI may be renewed, as 2/3: day 60 of 90.
const DUE: (u32, u32) = (2, 3);

/// The jitter as a part of the life, 1/30: up to three days of 90, 4.8 hours of 6 days.
const JITTER: (u32, u32) = (1, 30);

/// How often the suggested window is asked for at most and at least, whatever the authority says: RFC 9773,
/// section 4.3.2 wants such bounds.
const ASKED_AGAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));

/// After this time a failed question about the window is put again.
pub const ASKED_AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(6 * 3600);

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Its first second.
    pub not_before: SystemTime,
    /// Its last second.
    pub not_after: SystemTime,
}

/// When the authority wants a certificate to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The earliest moment.
    pub start: SystemTime,
    /// The latest moment.
    pub end: SystemTime,
}

/// When a certificate is to be renewed, `spread` being its place between 0 and 1 in the jitter. A time that has
/// passed means: now. Never later than the end of its life.
#[must_use]
pub fn renew_at(life: Life, window: Option<Window>, spread: f64) -> SystemTime {
    let spread = spread.clamp(0.0, 1.0);
    if let Some(Window { start, end }) = window
        && let Ok(width) = end.duration_since(start)
        && start < life.not_after
    {
        return (start + width.mul_f64(spread)).min(life.not_after);
    }
    let length = life.not_after.duration_since(life.not_before).unwrap_or_default();
    life.not_before + length * DUE.0 / DUE.1 + (length * JITTER.0 / JITTER.1).mul_f64(spread)
}

/// When to ask for the window again, `hint` being the `Retry-After` of the last answer.
#[must_use]
pub fn ask_again_at(now: SystemTime, hint: Duration) -> SystemTime {
    now + hint.clamp(ASKED_AGAIN.0, ASKED_AGAIN.1)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(n: u32) -> SystemTime {
        UNIX_EPOCH + DAY * (20_000 + n)
    }

    fn life() -> Life {
        Life { not_before: day(0), not_after: day(90) }
    }

    #[test]
    fn without_a_window_it_is_two_thirds_of_the_life_and_up_to_a_thirtieth_more() {
        assert_eq!(renew_at(life(), None, 0.0), day(60));
        assert_eq!(renew_at(life(), None, 1.0), day(63));
    }

    #[test]
    fn the_window_of_the_authority_wins_even_when_it_has_passed() {
        let window = Some(Window { start: day(10), end: day(12) });
        assert_eq!(renew_at(life(), window, 0.0), day(10));
        assert_eq!(renew_at(life(), window, 0.5), day(11));
        assert_eq!(renew_at(life(), window, 1.0), day(12));
    }

    #[test]
    fn a_window_that_makes_no_sense_is_ignored() {
        let upside_down = Some(Window { start: day(12), end: day(10) });
        let after_the_end = Some(Window { start: day(90), end: day(95) });
        assert_eq!(renew_at(life(), upside_down, 0.0), day(60));
        assert_eq!(renew_at(life(), after_the_end, 0.0), day(60));
    }

    #[test]
    fn the_window_is_asked_for_neither_all_the_time_nor_never() {
        assert_eq!(ask_again_at(day(0), Duration::ZERO), day(0) + Duration::from_secs(60));
        assert_eq!(ask_again_at(day(0), Duration::from_secs(7200)), day(0) + Duration::from_secs(7200));
        assert_eq!(ask_again_at(day(0), DAY * 365), day(1));
    }

    proptest! {
        #[test]
        fn it_is_always_within_the_life(
            length in 1u64..400 * 86_400,
            spread in -1.0..2.0f64,
            window in proptest::option::of((0u64..800 * 86_400, 0u64..800 * 86_400)),
        ) {
            let life = Life { not_before: day(0), not_after: day(0) + Duration::from_secs(length) };
            let window = window.map(|(a, b)| Window {
                start: day(0) + Duration::from_secs(a),
                end: day(0) + Duration::from_secs(b),
            });
            let at = renew_at(life, window, spread);
            prop_assert!(life.not_before <= at && at <= life.not_after);
        }
    }
}
