//! A timer of the machine ends it unless the edge puts that off: the dead-man timer of an edge that hangs.

use std::path::PathBuf;

use tokio::{sync::watch, time::interval};
use tokio_util::sync::CancellationToken;

use crate::{config::RENEWED_EVERY, idle::Countdown};

/// Writes `file` now and, as long as somebody is connected, every [`RENEWED_EVERY`], until `stop`.
///
/// It hangs on the countdown and on nothing else: where the idle timer no longer sees sessions, the file grows old.
pub(crate) async fn renew(file: PathBuf, countdown: watch::Receiver<Countdown>, stop: CancellationToken) {
    let mut ticks = interval(RENEWED_EVERY);
    let mut first = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let held = matches!(*countdown.borrow(), Countdown::Held(_));
        if (first || held)
            && let Err(error) = tokio::fs::write(&file, "held\n").await
        {
            tracing::error!(%error, file = %file.display(), "cannot put off the machine's own end");
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use irp_wire::tasks::Tasks;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_file_is_written_at_the_start_and_while_somebody_is_connected() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("renewed");
        let (countdown, seen) = watch::channel(Countdown::Running(Duration::from_secs(9)));
        let tasks = Tasks::new();
        tasks.spawn(renew(file.clone(), seen, tasks.token().clone()));
        irp_testkit::patience::eventually("the first write", || file.exists()).await;
        // Nobody is connected: it stays away, however much time passes.
        std::fs::remove_file(&file).unwrap();
        tokio::time::sleep(RENEWED_EVERY * 3).await;
        assert!(!file.exists());
        countdown.send_replace(Countdown::Held(Duration::from_secs(9)));
        tokio::time::sleep(RENEWED_EVERY * 2).await;
        irp_testkit::patience::eventually("the next write", || file.exists()).await;
        assert!(tasks.shutdown(Duration::from_secs(1)).await.in_time);
    }
}
