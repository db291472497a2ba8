//! A clock that goes on while the machine sleeps and that nobody can set.

#[cfg_attr(windows, path = "clock/windows.rs")]
#[cfg_attr(not(windows), path = "clock/unix.rs")]
mod system;

use std::{fmt, sync::Arc, time::Duration};

/// A point on a [`Clock`]: the time since some fixed start, such as the machine's boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The moment `after` the clock's start.
    #[must_use]
    pub const fn at(after: Duration) -> Self {
        Self(after)
    }

    /// How long after `earlier` this is; zero when it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `later` than this one.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }

    /// Nanoseconds since the clock's start: 584 years fit.
    pub(super) fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }
}

/// Where the idle timer takes its time from.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment. Cheap enough to be asked at the end of every session.
    fn now(&self) -> Moment;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Moment {
        (**self).now()
    }
}

/// The system's clock since some fixed start, sleep included.
///
/// Linux's `CLOCK_MONOTONIC`, which timers run on, stands still while the machine sleeps: a laptop that is closed every
/// night would keep its edge for days.
#[derive(Debug, Clone, Copy, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Moment {
        Moment(system::since_start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_is_the_one_that_counts_sleep() {
        // `/proc/uptime` is that clock, cut to hundredths of a second.
        let uptime = || -> Moment {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            let seconds: f64 = text.split_whitespace().next().unwrap().parse().unwrap();
            Moment::at(Duration::from_secs_f64(seconds))
        };
        let before = uptime();
        let now = BootClock.now();
        let after = uptime().plus(Duration::from_millis(11));
        assert!(before <= now && now <= after, "{before:?} {now:?} {after:?}");
    }
}
