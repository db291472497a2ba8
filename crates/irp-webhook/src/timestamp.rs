//! When a request was signed: where it stands, in what unit, and how old it may be.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Failure, source::Source};

/// The longest number that is read, in digits.
const DIGITS_MAX: usize = 16;
/// The longest date that is read, in characters.
const DATE_MAX: usize = 40;

/// Where the time of signing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub(crate) place: Place,
    pub(crate) unit: Unit,
}

/// Where the time stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a header or field of its own.
    Source(Source),
    /// Beside the signature, under this key.
    Key(String),
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    /// A date of RFC 3339.
    Date,
}

impl Timestamp {
    /// `header:NAME:UNIT`, `body:KEY.KEY:UNIT` or `key:KEY:UNIT`; the unit is `s`, `ms` or `rfc3339`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (place, unit) = text.rsplit_once(':')?;
        let unit = match unit {
            "s" => Unit::Seconds,
            "ms" => Unit::Milliseconds,
            "rfc3339" => Unit::Date,
            _ => return None,
        };
        let place = match place.split_once(':')? {
            ("key", key) if !key.is_empty() => Place::Key(key.to_owned()),
            _ => Place::Source(Source::parse(place)?),
        };
        Some(Self { place, unit })
    }
}

impl Unit {
    /// Reads a time; a number has no sign, no blank and few digits.
    pub(crate) fn read(self, text: &str) -> Option<SystemTime> {
        if self == Self::Date {
            if text.len() > DATE_MAX {
                return None;
            }
            return OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from);
        }
        if text.is_empty() || text.len() > DIGITS_MAX || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u64 = text.parse().ok()?;
        let since = match self {
            Self::Milliseconds => Duration::from_millis(number),
            _ => Duration::from_secs(number),
        };
        UNIX_EPOCH.checked_add(since)
    }

    /// Writes a time, in whole seconds or milliseconds.
    pub(crate) fn write(self, time: SystemTime) -> String {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        match self {
            Self::Seconds => since.as_secs().to_string(),
            Self::Milliseconds => since.as_millis().to_string(),
            Self::Date => {
                let second = i64::try_from(since.as_secs()).unwrap_or_default();
                let date = OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH);
                date.format(&Rfc3339).unwrap_or_default()
            }
        }
    }
}

/// Whether a time is near enough to now, in both directions.
pub(crate) fn check(signed: SystemTime, now: SystemTime, tolerance: Duration) -> Result<(), Failure> {
    match now.duration_since(signed) {
        Ok(age) if age > tolerance => Err(Failure::Old(age.as_secs())),
        Err(ahead) if ahead.duration() > tolerance => Err(Failure::Ahead(ahead.duration().as_secs())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        let at = |second| Some(UNIX_EPOCH + Duration::from_secs(second));
        assert_eq!(Unit::Seconds.read("1700000000"), at(1_700_000_000));
        assert_eq!(Unit::Milliseconds.read("1700000000000"), at(1_700_000_000));
        assert_eq!(Unit::Date.read("2023-11-14T22:13:20Z"), at(1_700_000_000));
        assert_eq!(Unit::Date.read("2023-11-14T15:13:20.000000000-07:00"), at(1_700_000_000));
        for wrong in ["", "+1", "-1", " 1", "1 ", "1.0", "1e3", "12345678901234567", "٣"] {
            assert_eq!(Unit::Seconds.read(wrong), None, "{wrong}");
        }
        for wrong in ["", "2023-11-14", "1700000000", "2023-13-14T22:13:20Z"] {
            assert_eq!(Unit::Date.read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for unit in [Unit::Seconds, Unit::Milliseconds, Unit::Date] {
            assert_eq!(unit.read(&unit.write(time)), Some(time));
        }
        assert_eq!(Unit::Date.write(time), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_time_may_be_off_in_both_directions() {
        let time = |second| UNIX_EPOCH + Duration::from_secs(second);
        let tolerance = Duration::from_secs(300);
        assert_eq!(check(time(1000), time(1300), tolerance), Ok(()));
        assert_eq!(check(time(1300), time(1000), tolerance), Ok(()));
        assert_eq!(check(time(1000), time(1301), tolerance), Err(Failure::Old(301)));
        assert_eq!(check(time(1301), time(1000), tolerance), Err(Failure::Ahead(301)));
    }
}
