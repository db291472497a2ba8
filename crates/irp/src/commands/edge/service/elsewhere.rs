//! Nobody who started the edge as a service, and would want to know how it is.

use std::future::pending;

/// Tells nobody.
pub(super) fn tell_ready() {}

/// Tells nobody.
pub(super) fn tell_stopping() {}

/// Nobody watches.
#[derive(Debug)]
pub(super) struct Watchdog(());

impl Watchdog {
    /// The same everywhere.
    pub(super) fn of_service() -> Self {
        Self(())
    }

    /// Waits for ever.
    pub(super) async fn tick(&mut self) {
        pending().await
    }
}
