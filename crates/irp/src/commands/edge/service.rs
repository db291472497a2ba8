//! systemd, where it started the edge (`Type=notify`).

use std::{future::pending, time::Duration};

use sd_notify::NotifyState;
use tokio::time::{Interval, interval};

/// Tells that visitors can come.
pub(super) fn tell_ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells that the edge ends.
pub(super) fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells that the edge does not hang, twice in the time after which systemd would think so (`WatchdogSec=`).
#[derive(Debug)]
pub(super) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// The one of this unit, where it has one.
    pub(super) fn of_service() -> Self {
        let within: Option<Duration> = sd_notify::watchdog_enabled();
        Self(within.map(|within| interval(within / 2)))
    }

    /// Waits for the next time, and tells it. Safe to drop and call again.
    pub(super) async fn tick(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => pending().await,
        }
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}
