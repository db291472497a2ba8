//! Drives the idle timer: waits, looks, looks once more, and ends the machine.

use std::{mem, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Activity, Countdown, Decision, IdleTimer};
use crate::power::{Power, Presence, WITHDRAW_WITHIN};

/// The time between the decision and the second look. A tunnel whose hello is under way needs milliseconds.
const SETTLE: Duration = Duration::from_millis(500);

/// The first pause after a power-off that failed; it doubles with every further failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest such pause.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The shortest pause between two looks, so that no rounding can make the loop spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Why [`run`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The idle time is over and [`Power::off`] has succeeded: the edge drains and exits.
    Idle,
    /// The edge is stopping for another reason.
    Stopped,
}

/// Runs until the machine is to end, or `stop` is cancelled.
///
/// Every look publishes the time left through `countdown`; a session that begins or ends causes a look at once. A
/// power-off that fails is logged and tried again, without end, unless a session comes meanwhile. Where there is a
/// `presence`, it is withdrawn before the power-off, which may be the last thing that this process does.
pub async fn run(
    mut timer: IdleTimer,
    activity: Activity,
    power: Power,
    presence: Option<Arc<dyn Presence>>,
    countdown: watch::Sender<Countdown>,
    stop: CancellationToken,
) -> Outcome {
    let mut retry = FIRST_RETRY;
    let mut is_withdrawn = false;
    loop {
        let mut pause = look(&mut timer, &activity, &countdown);
        if pause.is_none() {
            tokio::select! {
                () = sleep(SETTLE) => {}
                () = stop.cancelled() => return Outcome::Stopped,
            }
            pause = look(&mut timer, &activity, &countdown);
        }
        if let Some(presence) = &presence {
            if pause.is_none() && !mem::replace(&mut is_withdrawn, true) {
                tokio::select! {
                    result = timeout(WITHDRAW_WITHIN, presence.withdraw()) => if result.is_err() {
                        tracing::error!("taking the machine's records away takes too long: ending with them");
                    },
                    () = stop.cancelled() => return Outcome::Stopped,
                }
                // That may have taken seconds, in which somebody came.
                pause = look(&mut timer, &activity, &countdown);
            }
            if pause.is_some() && mem::take(&mut is_withdrawn) {
                presence.restore().await;
            }
        }
        let pause = match pause {
            Some(pause) => {
                retry = FIRST_RETRY;
                pause
            }
            None => match power.off().await {
                Ok(()) => {
                    tracing::info!("nobody was connected for the idle time: ending");
                    return Outcome::Idle;
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, ?retry, "cannot end the machine, trying again");
                    let pause = retry;
                    retry = (retry * 2).min(LAST_RETRY);
                    pause
                }
            },
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = activity.changed() => {}
            () = stop.cancelled() => return Outcome::Stopped,
        }
    }
}

/// Looks once; the time until the next look, or `None` when the end is due.
fn look(
    timer: &mut IdleTimer,
    activity: &Activity,
    countdown: &watch::Sender<Countdown>,
) -> Option<Duration> {
    let now = activity.now();
    let decision = timer.look(now, activity.seen());
    let left = timer.countdown();
    countdown.send_if_modified(|shown| mem::replace(shown, left) != left);
    match decision {
        Decision::Wait(until) => Some(until.since(now).max(SHORTEST_WAIT)),
        Decision::End => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        sync::{
            Mutex,
            atomic::{AtomicU64, Ordering::SeqCst},
        },
    };

    use futures_util::future::BoxFuture;
    use tokio::time::Instant;

    use super::*;
    use crate::idle::{Clock, IdleAfter, Moment, RETURN_GRACE};

    const HOUR: Duration = Duration::from_secs(3600);

    /// The runtime's paused clock, plus the time that the machine slept.
    #[derive(Debug)]
    struct Paused {
        start: Instant,
        slept: AtomicU64,
    }

    impl Paused {
        fn new() -> Arc<Self> {
            Arc::new(Self { start: Instant::now(), slept: AtomicU64::new(0) })
        }
    }

    impl Clock for Paused {
        fn now(&self) -> Moment {
            Moment::at(self.start.elapsed() + Duration::from_secs(self.slept.load(SeqCst)))
        }
    }

    struct Driven {
        activity: Activity,
        left: watch::Receiver<Countdown>,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<Outcome>,
        start: Instant,
    }

    fn drive(hours: f64, clock: Arc<Paused>, power: Power) -> Driven {
        drive_with(hours, clock, power, None)
    }

    fn drive_with(
        hours: f64,
        clock: Arc<Paused>,
        power: Power,
        presence: Option<Arc<dyn Presence>>,
    ) -> Driven {
        let activity = Activity::new(clock);
        let timer = IdleTimer::new(IdleAfter::from_hours(hours).unwrap(), activity.now());
        let (sender, left) = watch::channel(timer.countdown());
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(timer, activity.clone(), power, presence, sender, stop.clone()));
        Driven { activity, left, stop, task, start: Instant::now() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_with_nobody_ends_it() {
        let driven = drive(1.0, Paused::new(), Power::Exit);
        assert_eq!(driven.task.await.unwrap(), Outcome::Idle);
        let took = driven.start.elapsed();
        assert!(took >= HOUR && took < HOUR + Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_resets_it_and_the_time_left_is_published() {
        let mut driven = drive(1.0, Paused::new(), Power::Exit);
        sleep(HOUR / 2).await;
        assert!(
            matches!(*driven.left.borrow(), Countdown::Running(left) if left <= HOUR / 2 + Duration::from_secs(10))
        );

        let session = driven.activity.session();
        let changed = Instant::now();
        driven.left.wait_for(|left| *left == Countdown::Held(HOUR)).await.unwrap();
        assert!(changed.elapsed() < Duration::from_secs(1), "a session is not seen at once");

        sleep(HOUR * 5).await;
        assert!(!driven.task.is_finished());
        drop(session);
        driven.left.wait_for(|left| matches!(left, Countdown::Running(_))).await.unwrap();
        let ended = Instant::now();
        assert_eq!(driven.task.await.unwrap(), Outcome::Idle);
        assert!(ended.elapsed() >= HOUR && ended.elapsed() < HOUR + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_between_decision_and_end_saves_the_machine() {
        let mut driven = drive(1.0, Paused::new(), Power::Exit);
        driven.left.wait_for(|left| *left == Countdown::Ending).await.unwrap();
        let _session = driven.activity.session();
        driven.left.wait_for(|left| matches!(left, Countdown::Held(_))).await.unwrap();
        sleep(HOUR * 3).await;
        assert!(!driven.task.is_finished());
        driven.stop.cancel();
        assert_eq!(driven.task.await.unwrap(), Outcome::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn a_night_asleep_counts_but_leaves_time_to_come_back() {
        let clock = Paused::new();
        let driven = drive(1.0, Arc::clone(&clock), Power::Exit);
        sleep(Duration::from_secs(60)).await;
        clock.slept.store(8 * 3600, SeqCst);
        let woke = Instant::now();
        assert_eq!(driven.task.await.unwrap(), Outcome::Idle);
        let took = woke.elapsed();
        assert!(took >= RETURN_GRACE && took < RETURN_GRACE + Duration::from_secs(15), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_power_off_that_fails_is_tried_until_it_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("not-yet");
        let file = missing.join("power-off");
        let driven = drive(1.0, Paused::new(), Power::File(file.clone()));
        sleep(HOUR * 2).await;
        assert!(!driven.task.is_finished(), "gave up, or took a failure for success");

        std::fs::create_dir(&missing).unwrap();
        assert_eq!(driven.task.await.unwrap(), Outcome::Idle);
        assert!(file.is_file());
    }

    #[tokio::test(start_paused = true)]
    async fn never_means_never_and_stop_means_now() {
        let driven = drive(0.0, Paused::new(), Power::Exit);
        sleep(HOUR * 24 * 30).await;
        assert!(!driven.task.is_finished());
        driven.stop.cancel();
        assert_eq!(driven.task.await.unwrap(), Outcome::Stopped);
    }

    /// Takes its time to withdraw, and writes down what was asked of it and whether the power-off had come first.
    #[derive(Debug)]
    struct Slow {
        takes: Duration,
        file: PathBuf,
        asked: Mutex<Vec<(&'static str, bool)>>,
    }

    impl Slow {
        fn new(takes: Duration, file: PathBuf) -> Arc<Self> {
            Arc::new(Self { takes, file, asked: Mutex::default() })
        }

        fn note(&self, what: &'static str) {
            self.asked.lock().unwrap().push((what, self.file.exists()));
        }

        fn asked(&self) -> Vec<(&'static str, bool)> {
            self.asked.lock().unwrap().clone()
        }
    }

    impl Presence for Slow {
        fn withdraw(&self) -> BoxFuture<'_, ()> {
            Box::pin(async {
                self.note("withdraw");
                sleep(self.takes).await;
                self.note("withdrawn");
            })
        }

        fn restore(&self) -> BoxFuture<'_, ()> {
            Box::pin(async { self.note("restore") })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_power_off_comes_after_the_records_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("power-off");
        let slow = Slow::new(Duration::from_secs(5), file.clone());
        let driven = drive_with(1.0, Paused::new(), Power::File(file.clone()), Some(slow.clone()));
        assert_eq!(driven.task.await.unwrap(), Outcome::Idle);
        assert_eq!(slow.asked(), [("withdraw", false), ("withdrawn", false)]);
        assert!(file.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_cannot_be_removed_do_not_keep_the_machine_alive() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("power-off");
        let never = Slow::new(HOUR * 1000, file.clone());
        let driven = drive_with(1.0, Paused::new(), Power::File(file.clone()), Some(never.clone()));
        assert_eq!(driven.task.await.unwrap(), Outcome::Idle);
        let took = driven.start.elapsed();
        assert!(took >= HOUR + WITHDRAW_WITHIN && took < HOUR + WITHDRAW_WITHIN * 2, "{took:?}");
        assert_eq!(never.asked(), [("withdraw", false)]);
        assert!(file.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_the_records_go_brings_them_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("power-off");
        let slow = Slow::new(Duration::from_secs(5), file.clone());
        let driven = drive_with(1.0, Paused::new(), Power::File(file.clone()), Some(slow.clone()));
        sleep(HOUR + Duration::from_secs(3)).await;
        assert_eq!(slow.asked(), [("withdraw", false)]);
        let session = driven.activity.session();
        sleep(HOUR).await;
        assert_eq!(slow.asked()[1..], [("withdrawn", false), ("restore", false)]);
        assert!(!driven.task.is_finished());
        // The next time it ends.
        drop(session);
        assert_eq!(driven.task.await.unwrap(), Outcome::Idle);
        assert_eq!(slow.asked()[3..], [("withdraw", false), ("withdrawn", false)]);
    }
}
