//! Task ownership: the one place of this project that spawns tasks.
//!
//! Every task belongs to a [`Tasks`]. Its owner ends with [`Tasks::shutdown`], which asks all of them to
//! stop, waits until a deadline, ends those that are left, and only then returns. A panic of a task ends
//! that task alone; it is logged, and reported by `shutdown`.

use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio_util::{
    sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned},
    task::TaskTracker,
};

use crate::seldom::Seldom;

/// The owner of a set of tasks; clones share the set.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
    panic: FirstPanic,
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
        let killed = Seldom::new(self.kill.clone().cancelled_owned());
        self.tracker.spawn(Task { killed, future, panic: self.panic.clone() });
    }

    /// Runs `work`, which blocks, on a thread of this owner. Nothing ends it from outside: it must end by itself when
    /// the owner wants that, say because its channel is closed.
    pub fn work(&self, work: impl FnOnce() + Send + 'static) {
        let panic = self.panic.clone();
        self.tracker.spawn_blocking(move || {
            if let Err(payload) = std::panic::catch_unwind(AssertUnwindSafe(work)) {
                panic.note(payload.as_ref(), "a thread panicked");
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
        let panic = self.panic.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
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

pin_project! {
    /// A future that its owner can end, and whose panic is noted. By hand, since an async block that takes a future has
    /// room for it twice: as what it was given, and as what it waits for.
    struct Task<F> {
        killed: Seldom<WaitForCancellationFutureOwned>,
        #[pin]
        future: F,
        panic: FirstPanic,
    }
}

impl<F: Future> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if Pin::new(this.killed).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| this.future.poll(cx).map(drop)));
        polled.unwrap_or_else(|payload| {
            this.panic.note(payload.as_ref(), "a task panicked");
            Poll::Ready(())
        })
    }
}

/// What the first of an owner's tasks that panicked has said.
#[derive(Clone, Debug, Default)]
struct FirstPanic(Arc<Mutex<Option<String>>>);

impl FirstPanic {
    fn note(&self, payload: &(dyn Any + Send), what: &'static str) {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("no message").to_owned();
        tracing::error!(panic = message, "{what}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }
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
