//! The wall clock: no other module of this program asks what time it is.

use std::time::{Duration, SystemTime};

use time::{OffsetDateTime, UtcOffset};

/// How far local time is from UTC. It is asked once, so a change to summer time shows after a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zone(UtcOffset);

impl Zone {
    /// The machine's zone, or UTC where that cannot be told.
    pub(crate) fn of_this_machine() -> Self {
        Self(UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC))
    }

    /// The time of day as people here write it, `10:02:11`.
    pub(crate) fn time_of_day(self, at: SystemTime) -> String {
        let (hour, minute, second) = OffsetDateTime::from(at).to_offset(self.0).to_hms();
        format!("{hour:02}:{minute:02}:{second:02}")
    }
}

/// A moment in UTC as people write it down, `22:45 UTC on 2026-11-22`.
pub(crate) fn utc_minute(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    format!("{:02}:{:02} UTC on {}", at.hour(), at.minute(), at.date())
}

/// Now.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// A time span as people say it, in two units at most: `12 ms`, `3 s`, `1 min 5 s`, `2 h`.
pub(crate) fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{big} {big_unit}")
        } else {
            format!("{big} {big_unit} {small} {small_unit}")
        }
    };
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..=9 => format!("{:.1} s", span.as_secs_f64()).replace(".0 s", " s"),
        10..=59 => format!("{seconds} s"),
        60..=3599 => two(seconds / 60, "min", seconds % 60, "s"),
        _ => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units_at_most() {
        let told = |millis| words(Duration::from_millis(millis));
        assert_eq!(told(12), "12 ms");
        assert_eq!(told(3_000), "3 s");
        assert_eq!(told(3_250), "3.2 s");
        assert_eq!(told(65_000), "1 min 5 s");
        assert_eq!(told(7_200_000), "2 h");
        assert_eq!(told(5_430_000), "1 h 30 min");
    }

    #[test]
    fn the_time_of_day_is_in_the_zone() {
        let zone = Zone(UtcOffset::from_hms(9, 30, 0).unwrap());
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(61);
        assert_eq!(zone.time_of_day(moment), "09:31:01");
        assert_eq!(utc_minute(moment), "00:01 UTC on 1970-01-01");
    }
}
