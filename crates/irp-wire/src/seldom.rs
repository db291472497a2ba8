//! A future beside a busy one.
//!
//! A task that waits for traffic and for the order to stop polls both whenever traffic comes, and to poll a
//! cancellation token takes two locks that all tasks of its owner share. [`Seldom`] asks its future only when
//! that future has called; otherwise a poll costs one load.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Polls its future at first, and then only after the future has called its waker.
#[derive(Debug)]
pub struct Seldom<F> {
    future: Pin<Box<F>>,
    call: Arc<Call>,
    /// The task's waker as `call` has it.
    task: Option<Waker>,
}

/// Whether the future has something to say, and whom to tell.
#[derive(Debug)]
struct Call {
    is_due: AtomicBool,
    task: AtomicWaker,
}

impl<F: Future> Seldom<F> {
    /// Wraps a future that is seldom ready.
    #[must_use]
    pub fn new(future: F) -> Self {
        let call = Arc::new(Call { is_due: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { future: Box::pin(future), call, task: None }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // The waker is left before the look, so that a call between the two is seen by one of them.
        if !this.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            this.call.task.register(cx.waker());
            this.task = Some(cx.waker().clone());
        }
        if !this.call.is_due.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        this.call.is_due.store(false, Ordering::Release);
        // `AtomicWaker` forgets whom it has woken.
        this.call.task.register(cx.waker());
        let waker = Waker::from(Arc::clone(&this.call));
        this.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicUsize, time::Duration};

    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn its_future_is_polled_at_first_and_after_each_call() {
        let polls = AtomicUsize::new(0);
        let waker = std::sync::Mutex::new(None);
        let mut seldom = Seldom::new(poll_fn(|cx| {
            *waker.lock().unwrap() = Some(cx.waker().clone());
            if polls.fetch_add(1, Ordering::Relaxed) == 2 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let mut cx = Context::from_waker(Waker::noop());
        for (count, call) in [(1, false), (1, true), (2, false), (2, false)] {
            assert!(Pin::new(&mut seldom).poll(&mut cx).is_pending());
            assert_eq!(polls.load(Ordering::Relaxed), count);
            if call {
                waker.lock().unwrap().take().unwrap().wake();
            }
        }
        waker.lock().unwrap().take().unwrap().wake_by_ref();
        assert!(Pin::new(&mut seldom).poll(&mut cx).is_ready());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_call_is_missed_beside_a_busy_neighbour() {
        for _ in 0..500 {
            let token = CancellationToken::new();
            let seldom = Seldom::new(token.clone().cancelled_owned());
            let waiting = tokio::spawn(async move {
                let busy = async {
                    loop {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    () = seldom => {}
                    () = busy => {}
                }
            });
            let quiet = tokio::spawn(Seldom::new(token.clone().cancelled_owned()));
            tokio::spawn(async move { token.cancel() });
            let both = async { (waiting.await.unwrap(), quiet.await.unwrap()) };
            tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
        }
    }

    #[tokio::test]
    async fn it_may_move_to_another_task() {
        let token = CancellationToken::new();
        let mut seldom = Seldom::new(token.clone().cancelled_owned());
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut seldom).poll(cx))).await;
        assert!(polled.is_pending());
        let moved = tokio::spawn(seldom);
        tokio::task::yield_now().await;
        token.cancel();
        tokio::time::timeout(Duration::from_secs(20), moved).await.unwrap().unwrap();
    }
}
