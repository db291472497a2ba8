//! What clients hear of the inbox: how many events of their names wait and were delivered, now and then.

use std::time::Duration;

use irp_wire::name::Hostname;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Counts, Inbox};

/// The shortest time between two reports: thousands may be delivered in it.
const PAUSE: Duration = Duration::from_secs(2);

/// One reader of an inbox's counts.
#[derive(Debug)]
pub(crate) struct Counter {
    inbox: Inbox,
    names: Vec<Hostname>,
    changed: watch::Receiver<u64>,
    told: Counts,
    /// When the next report may be made.
    next: Instant,
}

impl Counter {
    /// Counts the events of `names`; what is there already is reported first.
    pub(crate) fn new(inbox: Inbox, names: &[Hostname]) -> Self {
        let mut changed = inbox.changed();
        changed.mark_changed();
        let delivered = inbox.counts_of(names).delivered;
        let told = Counts { delivered, ..Counts::default() };
        Self { inbox, names: names.to_vec(), changed, told, next: Instant::now() }
    }

    /// Waits for other counts than those of the last time. Nothing is lost when the wait is given up.
    pub(crate) async fn next(&mut self) -> Counts {
        loop {
            if self.changed.changed().await.is_err() {
                return std::future::pending().await;
            }
            // Until then it counts as not seen.
            self.changed.mark_changed();
            sleep_until(self.next).await;
            self.changed.mark_unchanged();
            let counts = self.inbox.counts_of(&self.names);
            if counts != self.told {
                self.told = counts;
                self.next = Instant::now() + PAUSE;
                return counts;
            }
        }
    }
}
