//! Times that people set in hours.

use std::{fmt, str::FromStr, time::Duration};

use super::ValueError;

/// The longest time that is taken: a leap year. More is a slip of the keyboard; never is written `0`.
pub const MAX_HOURS: f64 = 8784.0;

const SECONDS_PER_HOUR: f64 = 3600.0;

/// A time in hours, fractions allowed, or never, which is written `0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hours(Option<f64>);

impl Hours {
    /// Written `0`.
    pub const NEVER: Self = Self(None);

    /// The time, or `None` for never.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        self.0.map(|hours| Duration::from_secs_f64(hours * SECONDS_PER_HOUR))
    }

    /// The time in whole seconds, rounded up; 0 is never.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.duration().map_or(0, |time| time.as_secs() + u64::from(time.subsec_nanos() > 0))
    }

    /// The number as it was meant: 0 is never.
    #[must_use]
    pub fn number(self) -> f64 {
        self.0.unwrap_or(0.0)
    }
}

impl FromStr for Hours {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let hours: f64 = match text.parse() {
            Ok(hours) if plain => hours,
            _ => return Err(ValueError::new("is no number of hours")),
        };
        if hours == 0.0 {
            Ok(Self::NEVER)
        } else if hours * SECONDS_PER_HOUR < 1.0 {
            Err(ValueError::new("is under a second"))
        } else if hours > MAX_HOURS {
            Err(ValueError::new("is over a year"))
        } else {
            Ok(Self(Some(hours)))
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hours_are_plain_numbers() {
        let seconds = |text: &str| text.parse::<Hours>().map(Hours::seconds);
        assert_eq!(seconds("1"), Ok(3600));
        assert_eq!(seconds("0.5"), Ok(1800));
        assert_eq!(seconds(".25"), Ok(900));
        assert_eq!(seconds("0.0"), Ok(0));
        assert_eq!(seconds("0.0003"), Ok(2));
        for text in ["", ".", "1h", "-1", "1e3", "inf", "NaN", "0,5", "9999", "0.0001", " 1", "1..2"] {
            assert!(text.parse::<Hours>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn only_zero_is_never(text in "[0-9]{0,5}\\.?[0-9]{0,6}") {
            if let Ok(hours) = text.parse::<Hours>() {
                prop_assert_eq!(hours.seconds() == 0, text.parse::<f64>().unwrap() == 0.0);
                prop_assert_eq!(hours.to_string().parse::<Hours>(), Ok(hours));
            }
        }
    }
}
