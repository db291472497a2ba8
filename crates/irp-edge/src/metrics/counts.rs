//! The counters.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use irp_webhook::{Failure, Provider};

/// How requests ended, by the class of their status; the first is a visitor who left before there was one.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What stands for all providers that irp does not know: clients choose their names.
const CUSTOM: &str = "custom";

/// All counters of an edge. They only grow.
#[derive(Debug)]
pub(crate) struct Counts {
    requests: [AtomicU64; CLASSES.len()],
    received: AtomicU64,
    sent: AtomicU64,
    holds: AtomicU64,
    /// One for each provider of the table, and one for all others.
    webhooks: Box<[Webhooks]>,
}

/// What came from one provider.
#[derive(Debug, Default)]
struct Webhooks {
    verified: AtomicU64,
    handshakes: AtomicU64,
    failures: [AtomicU64; Failure::WORDS.len()],
}

/// The place of a provider among the counters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column(usize);

impl Column {
    pub(crate) fn of(provider: &Provider) -> Self {
        let all = Provider::all();
        Self(all.iter().position(|known| known.name() == provider.name()).unwrap_or(all.len()))
    }
}

impl Default for Counts {
    fn default() -> Self {
        let webhooks = (0..=Provider::all().len()).map(|_| Webhooks::default()).collect();
        Self {
            requests: Default::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            holds: AtomicU64::new(0),
            webhooks,
        }
    }
}

impl Counts {
    /// A request is over.
    pub(crate) fn request(&self, status: Option<StatusCode>) {
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100));
        add(self.requests.get(class).unwrap_or(&self.requests[0]), 1);
    }

    /// Bytes came from a visitor, inside TLS.
    pub(crate) fn received(&self, bytes: usize) {
        add(&self.received, bytes);
    }

    /// Bytes went to a visitor, inside TLS.
    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.sent, bytes);
    }

    /// A request waits for a tunnel.
    pub(crate) fn hold(&self) {
        add(&self.holds, 1);
    }

    /// A webhook was verified.
    pub(crate) fn verified(&self, provider: Column) {
        self.column(provider, |webhooks| add(&webhooks.verified, 1));
    }

    /// A handshake was answered.
    pub(crate) fn handshake(&self, provider: Column) {
        self.column(provider, |webhooks| add(&webhooks.handshakes, 1));
    }

    /// A request was not believed.
    pub(crate) fn failure(&self, provider: Column, why: &Failure) {
        let row = Failure::WORDS.iter().position(|word| *word == why.word());
        self.column(provider, |webhooks| {
            if let Some(count) = row.and_then(|row| webhooks.failures.get(row)) {
                add(count, 1);
            }
        });
    }

    fn column(&self, provider: Column, count: impl FnOnce(&Webhooks)) {
        if let Some(webhooks) = self.webhooks.get(provider.0) {
            count(webhooks);
        }
    }

    pub(super) fn shown_requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.requests.iter().map(read))
    }

    pub(super) fn shown_bytes(&self) -> [(&'static str, u64); 2] {
        [("in", read(&self.received)), ("out", read(&self.sent))]
    }

    pub(super) fn shown_holds(&self) -> u64 {
        read(&self.holds)
    }

    pub(super) fn shown_verified(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.columns().map(|(provider, webhooks)| (provider, read(&webhooks.verified)))
    }

    pub(super) fn shown_handshakes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.columns().map(|(provider, webhooks)| (provider, read(&webhooks.handshakes)))
    }

    /// By provider and reason.
    pub(super) fn shown_failures(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.columns().flat_map(|(provider, webhooks)| {
            let words = Failure::WORDS.into_iter().zip(webhooks.failures.iter().map(read));
            words.map(move |(word, count)| (provider, word, count))
        })
    }

    fn columns(&self) -> impl Iterator<Item = (&'static str, &Webhooks)> {
        let names = Provider::all().iter().map(Provider::name).chain([CUSTOM]);
        names.zip(&self.webhooks)
    }
}

/// Nothing else is ordered by these counters, hence Relaxed.
fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(u64::try_from(more).unwrap_or(0), Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use irp_webhook::Row;

    use super::*;

    #[test]
    fn each_thing_is_counted_in_its_place() {
        let counts = Counts::default();
        counts.request(Some(StatusCode::OK));
        counts.request(Some(StatusCode::UNAUTHORIZED));
        counts.request(None);
        let requests: Vec<_> = counts.shown_requests().filter(|(_, count)| *count > 0).collect();
        assert_eq!(requests, [("none", 1), ("2xx", 1), ("4xx", 1)]);

        let slack = Column::of(&Provider::named("slack").unwrap());
        let row = Row { signature: "x-acme", ..Row::PLAIN };
        let acme = Column::of(&Provider::custom("acme", &row).unwrap());
        counts.verified(slack);
        counts.failure(slack, &Failure::Mismatch);
        counts.failure(slack, &Failure::Old(4));
        counts.failure(acme, &Failure::Missing("x-acme".into()));
        let failures: Vec<_> = counts.shown_failures().filter(|(.., count)| *count > 0).collect();
        assert_eq!(failures.len(), 3);
        for found in [("slack", "mismatch", 1), ("slack", "old", 1), ("custom", "missing", 1)] {
            assert!(failures.contains(&found), "{failures:?}");
        }
    }
}
