//! The wall clock as an input, so that a test of ninety days takes milliseconds.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;

/// How long [`SystemClock`] sleeps at most before it looks at the wall clock again: a machine that was
/// suspended, or whose clock was set, is late by no more than this.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// Tells the time and waits for it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> SystemTime;

    /// Resolves once [`now`](Self::now) is `at` or later.
    fn sleep_until(&self, at: SystemTime) -> BoxFuture<'_, ()>;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(&self, at: SystemTime) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            while let Ok(left) = at.duration_since(self.now()) {
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LONGEST_NAP)).await;
            }
        })
    }
}

/// Times as kept in the store: milliseconds since 1970.
pub(super) mod unix {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde::{Deserialize, Deserializer, Serializer};

    /// What lies before 1970 becomes 1970.
    pub(in super::super) fn serialize<S: Serializer>(
        at: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        serializer.serialize_u64(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let millis = u64::deserialize(deserializer)?;
        UNIX_EPOCH
            .checked_add(Duration::from_millis(millis))
            .ok_or_else(|| serde::de::Error::custom("a time beyond what this machine can express"))
    }
}
