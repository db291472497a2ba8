//! POSIX's clocks.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// macOS lets its `CLOCK_MONOTONIC` run on in sleep, as `clock_gettime(3)` says there; Linux has another one for that.
#[cfg(not(target_os = "linux"))]
const WITH_SLEEP: ClockId = ClockId::Monotonic;
#[cfg(target_os = "linux")]
const WITH_SLEEP: ClockId = ClockId::Boottime;

pub(super) fn since_start() -> Duration {
    let time = clock_gettime(WITH_SLEEP);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
