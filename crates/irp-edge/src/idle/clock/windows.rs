//! The performance counter, which `Instant` reads: Windows lets it run on in sleep.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// The counter has no start of its own that is told.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(super) fn since_start() -> Duration {
    START.elapsed()
}
