//! Task ownership: the one place of this project that spawns tasks.
//!
//! Every task belongs to a [`Tasks`]. Its owner ends with [`Tasks::shutdown`], which asks all of them to
//! stop, waits until a deadline, ends those that are left, and only then returns. A panic of a task ends
//! that task alone; it is logged, and reported by `shutdown`.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::seldom::Seldom;

/// The owner of a set of tasks; clones share the set.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
    panic: Arc<Mutex<Option<String>>>,
}

/// How the tasks of a [`Tasks`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether all tasks ended by themselves before the deadline.
    pub in_time: bool,
    /// What the first task that panicked said, if one did.
    pub panic: Option<String>,
}

impl Tasks {
    /// An owner without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` as a task of this owner. Its result is dropped: report through a channel.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let kill = self.kill.clone();
        let panic = Arc::clone(&self.panic);
        self.tracker.spawn(async move {
            let killed = Seldom::new(kill.cancelled());
            let guarded = AssertUnwindSafe(future).catch_unwind();
            tokio::select! {
                biased;
                () = killed => {}
                result = guarded => if let Err(payload) = result {
                    let message = describe(payload.as_ref());
                    tracing::error!(panic = message, "a task panicked");
                    panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
                },
            }
        });
    }

    /// Runs `work`, which blocks, on a thread of this owner. Nothing ends it from outside: it must end by itself when
    /// the owner wants that, say because its channel is closed.
    pub fn work(&self, work: impl FnOnce() + Send + 'static) {
        let panic = Arc::clone(&self.panic);
        self.tracker.spawn_blocking(move || {
            if let Err(payload) = std::panic::catch_unwind(AssertUnwindSafe(work)) {
                let message = describe(payload.as_ref());
                tracing::error!(panic = message, "a thread panicked");
                panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
            }
        });
    }

    /// Cancelled when the owner wants its tasks to stop; each task watches it where it may wait long.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Ends all tasks at once when the guard is dropped: for an owner whose own future may be dropped.
    #[must_use]
    pub fn end_on_drop(&self) -> DropGuard {
        self.kill.clone().drop_guard()
    }

    /// How many tasks are running.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Asks all tasks to stop, waits for them for at most `deadline`, then ends those that are left.
    pub async fn shutdown(&self, deadline: Duration) -> Ended {
        self.stop.cancel();
        self.tracker.close();
        let in_time = tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok();
        self.kill.cancel();
        self.tracker.wait().await;
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ended { in_time, panic }
    }
}

/// HTTP/2 connections run their streams as tasks of the same owner.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}

fn describe(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shutdown_waits_for_tasks_that_stop_by_themselves() {
        let tasks = Tasks::new();
        let token = tasks.token().clone();
        tasks.spawn(async move {
            token.cancelled().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
        let before = tokio::time::Instant::now();
        let ended = tasks.shutdown(Duration::from_secs(10)).await;
        assert_eq!(ended, Ended { in_time: true, panic: None });
        assert_eq!(before.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_ends_tasks_that_hang() {
        let tasks = Tasks::new();
        tasks.spawn(std::future::pending::<()>());
        assert!(!tasks.shutdown(Duration::from_secs(1)).await.in_time);
        assert_eq!(tasks.count(), 0);
    }

    #[tokio::test]
    async fn shutdown_waits_for_work_on_threads() {
        let tasks = Tasks::new();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        tasks.work(move || assert!(receiver.recv().is_err()));
        tasks.work(|| panic!("broken"));
        assert_eq!(tasks.count(), 2);
        drop(sender);
        let ended = tasks.shutdown(Duration::from_secs(20)).await;
        assert_eq!(ended, Ended { in_time: true, panic: Some("broken".into()) });
    }

    #[tokio::test]
    async fn a_panic_is_reported_and_ends_only_its_task() {
        let tasks = Tasks::new();
        tasks.spawn(async { panic!("broken") });
        let ended = tasks.shutdown(Duration::from_secs(5)).await;
        assert_eq!(ended, Ended { in_time: true, panic: Some("broken".into()) });
    }
}
