//! One byte budget for all windows, buffers and held requests, so that no mixture of visitors can use up
//! the machine's memory.
//!
//! Whoever may come to hold memory reserves its worst case before it begins, and gives it back by dropping
//! the [`Lease`]. The budget is one atomic counter: no lock, no queue; used up means no.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The window of one stream of a tunnel: what a tunnel may send ahead of a visitor who reads slowly.
pub const STREAM_WINDOW: usize = 128 * 1024;
/// What hyper may buffer of one answer before it is written to the visitor.
pub const WRITE_BUFFER: usize = 64 * 1024;
/// What one public connection holds by itself: its read buffer, and the records of TLS both ways.
pub const CONNECTION_BYTES: usize = 48 * 1024;
/// The budget where the machine's memory cannot be read: a quarter of 0.5 GiB.
const FALLBACK: usize = 128 * 1024 * 1024;

/// The budget; clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    used: AtomicUsize,
    limit: usize,
}

/// Bytes taken from a budget; dropping gives them back.
#[derive(Debug)]
pub struct Lease {
    counter: Arc<Counter>,
    bytes: usize,
}

impl Budget {
    /// A budget of `limit` bytes, all free.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Counter { used: AtomicUsize::new(0), limit }))
    }

    /// Takes `bytes`, or nothing where fewer are left.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Lease> {
        self.0.take(bytes).then(|| Lease { counter: Arc::clone(&self.0), bytes })
    }

    /// Bytes taken now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Bytes in all.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }
}

impl Lease {
    /// Takes `bytes` more. Says no, and changes nothing, where fewer are left.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.counter.take(bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
    }
}

impl Counter {
    fn take(&self, bytes: usize) -> bool {
        // Nothing else is ordered by this counter, hence Relaxed.
        let add = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.counter.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A quarter of the memory that this process may use: of the machine's, or of its control group where that
/// is less.
#[must_use]
pub fn quarter_of_memory() -> usize {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of_meminfo(&text));
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
        .min();
    let memory = [machine, group].into_iter().flatten().min();
    memory.map_or(FALLBACK, |bytes| usize::try_from(bytes / 4).unwrap_or(usize::MAX))
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(100);
        let first = budget.take(60).unwrap();
        assert!(budget.take(41).is_none());
        let second = budget.take(40).unwrap();
        assert_eq!(budget.used(), 100);
        drop(first);
        assert!(budget.take(60).is_some());
        drop(second);
        assert_eq!(budget.used(), 0);
        assert!(budget.take(usize::MAX).is_none());
    }

    #[test]
    fn what_grows_is_given_back_whole() {
        let budget = Budget::new(100);
        let mut lease = budget.take(60).unwrap();
        assert!(!lease.grow(41) && budget.used() == 60);
        assert!(lease.grow(40) && budget.used() == 100);
        drop(lease);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn threads_together_never_take_more_than_the_limit() {
        let budget = Budget::new(10);
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if let Some(_lease) = budget.take(3) {
                            most.fetch_max(budget.used(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 10);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn memory_is_read_from_meminfo() {
        assert_eq!(total_of_meminfo("MemTotal:         494592 kB\nMemFree: 1 kB\n"), Some(506_462_208));
        assert_eq!(total_of_meminfo("MemFree: 1 kB\n"), None);
        assert!(quarter_of_memory() > 1024 * 1024);
    }
}
