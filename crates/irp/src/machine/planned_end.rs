//! The end that was planned for a machine, whatever happens on it: a timer of systemd keeps it, the edge tells of it.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use irp_edge::notices::Notices;
use tokio::time::sleep;

use crate::clock;

/// How far ahead clients hear of it.
const WARNED: Duration = Duration::from_secs(15 * 60);

/// The clock is looked at so often, since that of a machine may be set after its boot.
const LOOKED_EVERY: Duration = Duration::from_secs(60);

/// Tells clients once that the machine ends at the UNIX second that `file` holds, [`WARNED`] ahead.
pub(crate) async fn announce(file: &Path, notices: &Notices) {
    let text = tokio::fs::read_to_string(file).await;
    let Some(end) = text.ok().and_then(|text| text.trim().parse().ok()).map(Duration::from_secs) else {
        tracing::warn!(file = %file.display(), "there is no UNIX second in the file of ends_at");
        return;
    };
    loop {
        let now = clock::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let left = end.saturating_sub(now);
        if left <= WARNED {
            tracing::warn!(?left, "this machine ends as planned");
            let at = clock::utc_minute(SystemTime::UNIX_EPOCH + end);
            return notices.post(format!("this machine ends at {at}, whatever happens"));
        }
        sleep((left - WARNED).min(LOOKED_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn clients_hear_of_an_end_that_is_near_and_not_of_nonsense() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ends-at");
        let notices = Notices::default();
        for nothing in ["", "soon", "-1"] {
            std::fs::write(&file, nothing).unwrap();
            announce(&file, &notices).await;
        }
        let end = clock::now() + Duration::from_secs(600);
        let second = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        std::fs::write(&file, format!("{second}\n")).unwrap();
        announce(&file, &notices).await;
        let mut reader = notices.reader();
        let told = format!("this machine ends at {}, whatever happens", clock::utc_minute(end));
        assert_eq!(reader.next().await, told);
        assert_eq!(reader.next().now_or_never(), None, "one sentence is enough");
    }
}
