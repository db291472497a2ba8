//! How long a machine stays when nobody is connected.

use std::{fmt, str::FromStr, time::Duration};

/// Hours a machine stays after the last session when nothing else is said.
pub const DEFAULT_IDLE_HOURS: f64 = 1.0;

/// The longest time that is taken: a leap year. More is a slip of the keyboard; never is written `0`.
const MOST_HOURS: f64 = 8784.0;

/// The shortest time that is taken, in seconds. Less would be gone before a client can have connected.
const LEAST_SECONDS: f64 = 1.0;

const SECONDS_PER_HOUR: f64 = 3600.0;

/// The time after the last session at which the machine ends, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleAfter(Option<Duration>);

impl IdleAfter {
    /// The machine stays until somebody ends it.
    pub const NEVER: Self = Self(None);

    /// Takes hours, fractions allowed: `0.5` is half an hour, `0` is never.
    ///
    /// # Errors
    ///
    /// When the number is negative, not a number, under a second but not zero, or over a year.
    pub fn from_hours(hours: f64) -> Result<Self, IdleAfterError> {
        if hours == 0.0 {
            return Ok(Self::NEVER);
        }
        let seconds = hours * SECONDS_PER_HOUR;
        if !hours.is_finite() || hours < 0.0 {
            Err(IdleAfterError::NoDuration(hours))
        } else if seconds < LEAST_SECONDS {
            Err(IdleAfterError::TooShort(hours))
        } else if hours > MOST_HOURS {
            Err(IdleAfterError::TooLong(hours))
        } else {
            Ok(Self(Some(Duration::from_secs_f64(seconds))))
        }
    }

    /// The time, or `None` for never.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        self.0
    }
}

impl Default for IdleAfter {
    fn default() -> Self {
        Self(Some(Duration::from_secs_f64(DEFAULT_IDLE_HOURS * SECONDS_PER_HOUR)))
    }
}

impl TryFrom<f64> for IdleAfter {
    type Error = IdleAfterError;

    fn try_from(hours: f64) -> Result<Self, Self::Error> {
        Self::from_hours(hours)
    }
}

impl FromStr for IdleAfter {
    type Err = IdleAfterError;

    fn from_str(hours: &str) -> Result<Self, Self::Err> {
        let number = hours.trim().parse().map_err(|_| IdleAfterError::NoNumber(hours.to_owned()))?;
        Self::from_hours(number)
    }
}

impl fmt::Display for IdleAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("never"),
            Some(after) => write!(f, "{} h", after.as_secs_f64() / SECONDS_PER_HOUR),
        }
    }
}

/// Why a text or a number is no [`IdleAfter`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IdleAfterError {
    /// The text is not a number.
    #[error("`{0}` is no number of hours; write 1, 0.5, or 0 for never")]
    NoNumber(String),
    /// Negative, infinite, or not a number.
    #[error("{0} hours is no duration; write 1, 0.5, or 0 for never")]
    NoDuration(f64),
    /// Under a second.
    #[error("{0} hours is under a second; for never, write 0")]
    TooShort(f64),
    /// Over a year.
    #[error("{0} hours is over a year; for never, write 0")]
    TooLong(f64),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hours_are_read_as_people_write_them() {
        let seconds = |text: &str| text.parse::<IdleAfter>().unwrap().duration().map(|d| d.as_secs());
        assert_eq!(seconds("1"), Some(3600));
        assert_eq!(seconds(" 0.5\n"), Some(1800));
        assert_eq!(seconds(".25"), Some(900));
        assert_eq!(seconds("0"), None);
        assert_eq!(seconds("0.0"), None);
        assert_eq!(seconds("-0"), None);
        assert_eq!(IdleAfter::default().duration(), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn a_slip_is_an_error_and_never_an_endless_machine() {
        for text in ["", "one", "1h", "-1", "NaN", "inf", "1e9", "1e-9", "0,5"] {
            assert!(text.parse::<IdleAfter>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn only_zero_is_never(hours in proptest::num::f64::ANY) {
            if let Ok(after) = IdleAfter::from_hours(hours) {
                prop_assert_eq!(after.duration().is_none(), hours == 0.0);
                prop_assert!(after.duration().is_none_or(|d| d >= Duration::from_millis(999)));
            }
        }
    }
}
