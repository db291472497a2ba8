//! Waiting for a condition with a deadline, instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// How long a condition may take to hold; generous, since the machines of CI are shared.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// Waits until `holds` answers true, from an async test.
///
/// # Panics
///
/// When [`PATIENCE`] runs out; the message names `what` was waited for.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(GLANCE).await;
    }
}

/// Waits until `holds` answers true, from a test without a runtime.
///
/// # Panics
///
/// When [`PATIENCE`] runs out; the message names `what` was waited for.
pub fn eventually_blocking(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(GLANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_looked_at_until_it_holds() {
        let mut looks = 0;
        eventually("the third look", || {
            looks += 1;
            looks == 3
        })
        .await;
        assert_eq!(looks, 3);
    }

    #[test]
    fn waiting_works_without_a_runtime() {
        let mut looks = 0;
        eventually_blocking("the second look", || {
            looks += 1;
            looks == 2
        });
        assert_eq!(looks, 2);
    }
}
