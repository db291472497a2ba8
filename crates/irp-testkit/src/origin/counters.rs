//! What an origin has seen.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The header in which a test names a request, to learn how often it arrived.
pub const TEST_ID: &str = "x-test-id";

/// Counts of one origin since its start, shared with it and growing while it runs.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    seen: AtomicU64,
    finished: AtomicU64,
    cancelled: AtomicU64,
    received: AtomicU64,
    ids: Mutex<HashMap<String, u64>>,
}

impl Counters {
    /// Connections accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Requests of which the head arrived.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    /// Requests whose whole answer was handed to the socket.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.finished.load(Relaxed)
    }

    /// Requests whose connection (HTTP/1) or stream (HTTP/2) ended before the answer did.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.cancelled.load(Relaxed)
    }

    /// Requests that are neither finished nor cancelled.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        // `seen` is read last: it only grows, so that the difference cannot fall below zero.
        let over = self.finished() + self.cancelled();
        self.seen().saturating_sub(over)
    }

    /// Bytes of request bodies that the program has taken.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// How often a request with this [`TEST_ID`] arrived.
    #[must_use]
    pub fn times(&self, id: &str) -> u64 {
        self.ids.lock().unwrap().get(id).copied().unwrap_or_default()
    }

    /// Every [`TEST_ID`] that arrived, with how often.
    #[must_use]
    pub fn ids(&self) -> HashMap<String, u64> {
        self.ids.lock().unwrap().clone()
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn head_arrived(&self) {
        self.seen.fetch_add(1, Relaxed);
    }

    pub(super) fn took(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }
}

/// One request, counted as finished or, when dropped before that, as cancelled.
#[derive(Debug)]
pub(super) struct Visit {
    counters: Arc<Counters>,
    over: bool,
}

impl Visit {
    pub(super) fn begin(counters: &Arc<Counters>, headers: &http::HeaderMap) -> Self {
        counters.head_arrived();
        if let Some(id) = headers.get(TEST_ID).and_then(|id| id.to_str().ok()) {
            *counters.ids.lock().unwrap().entry(id.to_owned()).or_default() += 1;
        }
        Self { counters: counters.clone(), over: false }
    }

    pub(super) fn finish(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.counters.finished.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.over {
            self.counters.cancelled.fetch_add(1, Relaxed);
        }
    }
}
