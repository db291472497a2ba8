//! Reports: what clients hear of requests that the edge answered by itself.
//!
//! A client sees every request that reaches it; those that were refused before are told to it in a few words,
//! at most [`LINES_PER_SECOND`] of them, so that strangers who knock cannot fill the developer's screen.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use irp_wire::control::EdgeMessage;
use tokio::time::Instant;

use crate::{
    http::{Exchange, ExchangeSink},
    registry::Registry,
};

/// How many refused requests are told in one second; the rest is counted.
const LINES_PER_SECOND: u64 = 5;

/// The longest path that is told, in characters.
const PATH_MAX: usize = 200;

/// Tells clients what became of requests that did not reach them.
#[derive(Debug)]
pub(crate) struct Reports {
    registry: Arc<Registry>,
    start: Instant,
    /// The second that is counted in the upper half, what was told in it in the lower half.
    told: AtomicU64,
    skipped: AtomicU64,
}

impl Reports {
    pub(crate) fn new(registry: Arc<Registry>) -> Arc<Self> {
        Arc::new(Self {
            registry,
            start: Instant::now(),
            told: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        })
    }

    /// Whether one more line may be told now.
    fn admit(&self, now: Instant) -> bool {
        let second = now.duration_since(self.start).as_secs() << 32;
        let count = |told: u64| if told & !0xffff_ffff == second { told + 1 } else { second + 1 };
        let before = self.told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |told| Some(count(told)));
        let told = count(before.unwrap_or_else(|told| told));
        told & 0xffff_ffff <= LINES_PER_SECOND
    }
}

impl ExchangeSink for Reports {
    fn ended(&self, exchange: &Exchange) {
        if !exchange.stopped_at_edge {
            return;
        }
        let Some(host) = &exchange.host else { return };
        let Some(session) = self.registry.session_of(host) else { return };
        if !self.admit(Instant::now()) {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let skipped = self.skipped.swap(0, Ordering::Relaxed);
        if skipped > 0 {
            session.tell(&EdgeMessage::Skipped { count: skipped });
        }
        session.tell(&EdgeMessage::Answered {
            host: host.to_string(),
            method: exchange.method.to_string(),
            path: exchange.target.path().chars().take(PATH_MAX).collect(),
            status: exchange.status.map_or(0, |status| status.as_u16()),
            ms: u64::try_from(exchange.duration.as_millis()).unwrap_or(u64::MAX),
            reason: exchange.reason.clone().unwrap_or_default(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keys::Keys;

    #[tokio::test(start_paused = true)]
    async fn only_a_few_lines_are_told_in_each_second() {
        let reports = Reports::new(Arc::new(Registry::new(Keys::default(), [])));
        let told = |now| (0..100).filter(|_| reports.admit(now)).count();
        assert_eq!(told(Instant::now()), 5);
        assert_eq!(told(Instant::now()), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(told(Instant::now()), 5);
    }
}
