//! The end that was planned for a machine, whatever happens on it: a timer of systemd keeps it, the edge tells of it.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use irp_edge::notices::Notices;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// How far ahead clients hear of it.
const WARNED: Duration = Duration::from_secs(15 * 60);

/// How far ahead events are not kept any more where they would end with the machine: so long most providers try again.
const NOT_KEPT: Duration = Duration::from_secs(3600);

/// The clock is looked at so often, since that of a machine may be set after its boot.
const LOOKED_EVERY: Duration = Duration::from_secs(60);

/// Tells clients once that the machine ends at the UNIX second that `file` holds, [`WARNED`] ahead, and cancels
/// `ends_soon` [`NOT_KEPT`] ahead.
pub(crate) async fn announce(file: &Path, notices: &Notices, ends_soon: &CancellationToken) {
    let text = tokio::fs::read_to_string(file).await;
    let Some(end) = text.ok().and_then(|text| text.trim().parse().ok()).map(Duration::from_secs) else {
        tracing::warn!(file = %file.display(), "there is no UNIX second in the file of ends_at");
        return;
    };
    loop {
        let now = clock::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let left = end.saturating_sub(now);
        if left <= NOT_KEPT {
            ends_soon.cancel();
        }
        if left <= WARNED {
            tracing::warn!(?left, "this machine ends as planned");
            let at = clock::utc_minute(SystemTime::UNIX_EPOCH + end);
            return notices.post(format!("this machine ends at {at}, whatever happens"));
        }
        let ahead = if left > NOT_KEPT { NOT_KEPT } else { WARNED };
        sleep((left - ahead).min(LOOKED_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn clients_hear_of_an_end_that_is_near_and_not_of_nonsense() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ends-at");
        let (notices, ends_soon) = (Notices::default(), CancellationToken::new());
        for nothing in ["", "soon", "-1"] {
            std::fs::write(&file, nothing).unwrap();
            announce(&file, &notices, &ends_soon).await;
        }
        assert!(!ends_soon.is_cancelled());
        let end = clock::now() + Duration::from_secs(600);
        let second = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        std::fs::write(&file, format!("{second}\n")).unwrap();
        announce(&file, &notices, &ends_soon).await;
        assert!(ends_soon.is_cancelled());
        let mut reader = notices.reader();
        let told = format!("this machine ends at {}, whatever happens", clock::utc_minute(end));
        assert_eq!(reader.next().await, told);
        assert_eq!(reader.next().now_or_never(), None, "one sentence is enough");
    }

    #[tokio::test]
    async fn nothing_is_kept_in_the_last_hour() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ends-at");
        for (seconds, is_soon) in [(7200, false), (3500, true)] {
            let (notices, ends_soon) = (Notices::default(), CancellationToken::new());
            let end = clock::now() + Duration::from_secs(seconds);
            let second = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            std::fs::write(&file, second.to_string()).unwrap();
            // It waits for the next threshold, which is far; one that has passed is seen at once.
            let waited = timeout(Duration::from_millis(100), announce(&file, &notices, &ends_soon));
            let soon = ends_soon.cancelled();
            tokio::select! {
                _ = waited => assert!(!is_soon),
                () = soon => assert!(is_soon),
            }
            assert_eq!(notices.reader().next().now_or_never(), None);
        }
    }
}
