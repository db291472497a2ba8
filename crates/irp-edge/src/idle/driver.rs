//! Drives the idle timer: waits, looks, looks once more, and ends the machine.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Activity, Countdown, Decision, IdleTimer};
use crate::power::Power;

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
/// power-off that fails is logged and tried again, without end, unless a session comes meanwhile.
pub async fn run(
    mut timer: IdleTimer,
    activity: Activity,
    power: Power,
    countdown: watch::Sender<Countdown>,
    stop: CancellationToken,
) -> Outcome {
    let mut retry = FIRST_RETRY;
    loop {
        let mut pause = look(&mut timer, &activity, &countdown);
        if pause.is_none() {
            tokio::select! {
                () = sleep(SETTLE) => {}
                () = stop.cancelled() => return Outcome::Stopped,
            }
            pause = look(&mut timer, &activity, &countdown);
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
    countdown.send_if_modified(|shown| std::mem::replace(shown, left) != left);
    match decision {
        Decision::Wait(until) => Some(until.since(now).max(SHORTEST_WAIT)),
        Decision::End => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    };

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
        let activity = Activity::new(clock);
        let timer = IdleTimer::new(IdleAfter::from_hours(hours).unwrap(), activity.now());
        let (sender, left) = watch::channel(timer.countdown());
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(timer, activity.clone(), power, sender, stop.clone()));
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
}
