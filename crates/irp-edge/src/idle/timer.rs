//! The decision when the machine ends, as a state machine without clock, tasks or I/O.

use std::time::Duration;

use super::{IdleAfter, Moment, Seen};

/// How often the timer is to be asked at least. Small against any idle time, and cheap: a few atomic loads.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A pause between two looks that is longer than this means that this process was not running: the machine
/// slept, or was paused from outside. Three looks missed in a row are no matter of a busy processor.
pub const AWAY: Duration = Duration::from_secs(30);

/// How long clients have for coming back when the machine has woken: a client notices the dead connection within
/// 15 s, and then redials with a back-off of seconds.
pub const RETURN_GRACE: Duration = Duration::from_secs(120);

/// How long requests in flight put off an end that is due. Without a session a request is either held for some
/// seconds or refused, so a minute is enough for honest ones, and slow ones sent on purpose gain no more.
pub const DEFER_AT_MOST: Duration = Duration::from_secs(60);

/// How soon to look again while requests put the end off.
const DEFER_LOOK: Duration = Duration::from_secs(1);

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, until this moment at the latest; then look again.
    Wait(Moment),
    /// End the machine.
    End,
}

/// How much time the machine has left, for people to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Countdown {
    /// It never ends by itself.
    Never,
    /// Somebody is connected, or events wait; it ends this long after the last one has left.
    Held(Duration),
    /// Nobody is connected; it ends in this time if nobody comes.
    Running(Duration),
    /// It is ending.
    Ending,
}

/// The idle timer: asked again and again with [`IdleTimer::look`], it says when to end.
///
/// Three sums over the time without sessions decide, all made of forward steps between looks, so that a clock
/// which steps back delays the end by no more than the step:
///
/// - *elapsed*, all time, sleep included. The end is due once it reaches the idle time;
/// - *grace*, what is left of [`RETURN_GRACE`] since the process was [`AWAY`]. An end that is due waits for
///   it: a client whose laptop slept beside this machine gets the chance to be back first;
/// - *attended*, the time in which the process was looking. Once this alone reaches the idle time the grace
///   counts no more: a machine that wakes for a few seconds every minute must end, too.
#[derive(Debug, Clone)]
pub struct IdleTimer {
    after: Option<Duration>,
    looked: Moment,
    last_ended: Option<Moment>,
    elapsed: Duration,
    attended: Duration,
    grace: Duration,
    /// For how long requests have put the end off; `None` while they do not.
    deferred: Option<Duration>,
    countdown: Countdown,
}

impl IdleTimer {
    /// Counts from `start`, as if a session had ended then.
    #[must_use]
    pub fn new(after: IdleAfter, start: Moment) -> Self {
        let after = after.duration();
        Self {
            after,
            looked: start,
            last_ended: None,
            elapsed: Duration::ZERO,
            attended: Duration::ZERO,
            grace: Duration::ZERO,
            deferred: None,
            countdown: after.map_or(Countdown::Never, Countdown::Running),
        }
    }

    /// Takes in what is `seen` at `now` and decides. Any number of calls is right; [`Decision::End`] is taken
    /// back by a later call when a session has come.
    pub fn look(&mut self, now: Moment, seen: Seen) -> Decision {
        let Some(after) = self.after else {
            return Decision::Wait(now.plus(LOOK_EVERY));
        };
        let passed = now.since(self.looked);
        self.looked = now;

        // What was acknowledged is owed, so it counts as somebody who is there.
        if seen.sessions > 0 || seen.waiting {
            self.restart(Duration::ZERO);
            self.grace = Duration::ZERO;
            self.countdown = Countdown::Held(after);
            return Decision::Wait(now.plus(LOOK_EVERY));
        }
        if seen.last_ended == self.last_ended {
            self.elapsed += passed;
            self.attended += passed.min(LOOK_EVERY);
        } else {
            // A session has ended since the last look, perhaps one that also began since then.
            let since_end = seen.last_ended.map_or(passed, |ended| now.since(ended).min(passed));
            self.restart(since_end);
            self.last_ended = seen.last_ended;
        }
        self.grace = if passed > AWAY { RETURN_GRACE.min(after) } else { self.grace.saturating_sub(passed) };

        let left =
            after.saturating_sub(self.elapsed).max(self.grace).min(after.saturating_sub(self.attended));
        if !left.is_zero() {
            self.deferred = None;
            self.countdown = Countdown::Running(left);
            return Decision::Wait(now.plus(left.min(LOOK_EVERY)));
        }
        self.countdown = Countdown::Ending;
        if seen.requests > 0 && self.defer(passed) {
            return Decision::Wait(now.plus(DEFER_LOOK));
        }
        Decision::End
    }

    /// What the last look has found.
    #[must_use]
    pub fn countdown(&self) -> Countdown {
        self.countdown
    }

    fn restart(&mut self, since: Duration) {
        self.elapsed = since;
        self.attended = since.min(LOOK_EVERY);
        self.deferred = None;
    }

    /// Whether requests may put the end off once more.
    fn defer(&mut self, passed: Duration) -> bool {
        let deferred = self.deferred.map_or(Duration::ZERO, |so_far| so_far + passed);
        self.deferred = Some(deferred);
        deferred < DEFER_AT_MOST
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOBODY: Seen = Seen { sessions: 0, requests: 0, waiting: false, last_ended: None };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn hours(hours: f64) -> IdleAfter {
        IdleAfter::from_hours(hours).unwrap()
    }

    /// A machine, its clock and what goes on there, looked at as the driver does.
    struct World {
        timer: IdleTimer,
        now: Moment,
        seen: Seen,
        /// Since when nobody has been there, awake or not, and how much of that the machine was awake.
        idle_since: Moment,
        awake: Duration,
        woke: Option<Moment>,
        ended: bool,
    }

    impl World {
        fn new(after: IdleAfter) -> Self {
            let start = Moment::at(seconds(1000));
            Self {
                timer: IdleTimer::new(after, start),
                now: start,
                seen: NOBODY,
                idle_since: start,
                awake: Duration::ZERO,
                woke: None,
                ended: false,
            }
        }

        /// Lets time pass, with looks when the timer asks for them, until the end at most.
        fn run(&mut self, time: Duration) {
            let until = self.now.plus(time);
            loop {
                let next = match self.timer.look(self.now, self.seen) {
                    Decision::End => {
                        self.ended = true;
                        return;
                    }
                    Decision::Wait(next) => {
                        assert!(next > self.now, "a look that asks for another one at once");
                        next.min(until)
                    }
                };
                if self.now == until {
                    return;
                }
                self.awake += next.since(self.now);
                self.now = next;
            }
        }

        fn sleep(&mut self, time: Duration) {
            self.now = self.now.plus(time);
            if time > AWAY {
                self.woke = Some(self.now);
            }
        }

        fn begin_session(&mut self) {
            self.seen.sessions += 1;
        }

        fn end_session(&mut self) {
            if self.seen.sessions > 0 {
                self.seen.sessions -= 1;
                self.seen.last_ended = Some(self.now);
                self.idle_since = self.now;
                self.awake = Duration::ZERO;
            }
        }
    }

    #[test]
    fn counts_from_the_start_when_nobody_ever_comes() {
        let mut world = World::new(hours(1.0));
        world.run(HOUR - Duration::from_nanos(1));
        assert!(!world.ended);
        assert_eq!(world.timer.countdown(), Countdown::Running(Duration::from_nanos(1)));
        world.run(seconds(1));
        assert!(world.ended);
        assert_eq!(world.now.since(world.idle_since), HOUR);
    }

    #[test]
    fn fractions_count_and_zero_never_ends() {
        let mut world = World::new(hours(0.01));
        world.run(seconds(40));
        assert!(world.ended && world.now.since(world.idle_since) == seconds(36));

        let mut world = World::new(IdleAfter::NEVER);
        world.run(HOUR * 24 * 400);
        assert!(!world.ended);
        assert_eq!(world.timer.countdown(), Countdown::Never);
    }

    #[test]
    fn a_session_holds_the_end_and_a_new_one_resets_it() {
        let mut world = World::new(hours(1.0));
        world.begin_session();
        world.run(HOUR * 30);
        assert!(!world.ended);
        assert_eq!(world.timer.countdown(), Countdown::Held(HOUR));

        world.end_session();
        world.run(HOUR - seconds(1));
        world.begin_session();
        world.run(seconds(20));
        world.end_session();
        world.run(HOUR - seconds(1));
        assert!(!world.ended);
        world.run(seconds(1));
        assert!(world.ended);
    }

    #[test]
    fn a_session_that_came_and_went_between_two_looks_counts() {
        let mut timer = IdleTimer::new(hours(1.0), Moment::at(Duration::ZERO));
        timer.look(Moment::at(HOUR - seconds(2)), NOBODY);
        let seen = Seen { last_ended: Some(Moment::at(HOUR - seconds(1))), ..NOBODY };
        timer.look(Moment::at(HOUR), seen);
        assert_eq!(timer.countdown(), Countdown::Running(HOUR - seconds(1)));
    }

    #[test]
    fn an_end_is_taken_back_when_somebody_comes_in_the_last_moment() {
        let mut world = World::new(hours(1.0));
        world.run(HOUR);
        assert!(world.ended);
        world.begin_session();
        assert!(matches!(world.timer.look(world.now, world.seen), Decision::Wait(_)));
        world.end_session();
        world.ended = false;
        world.run(HOUR - seconds(1));
        assert!(!world.ended);
    }

    #[test]
    fn events_that_wait_hold_the_end_and_then_the_whole_time_counts() {
        let mut world = World::new(hours(1.0));
        world.run(HOUR - seconds(1));
        world.seen.waiting = true;
        world.run(HOUR * 30);
        assert!(!world.ended);
        assert_eq!(world.timer.countdown(), Countdown::Held(HOUR), "the dead-man timer is put off, too");
        world.seen.waiting = false;
        world.run(HOUR - LOOK_EVERY);
        assert!(!world.ended);
        world.run(LOOK_EVERY * 2);
        assert!(world.ended);
    }

    #[test]
    fn a_request_in_flight_finishes_first_but_strangers_cannot_hold_the_machine() {
        let mut world = World::new(hours(1.0));
        world.seen.requests = 1;
        world.run(HOUR + seconds(5));
        assert!(!world.ended);
        assert_eq!(world.timer.countdown(), Countdown::Ending);
        world.seen.requests = 0;
        world.run(seconds(0));
        assert!(world.ended);

        let mut world = World::new(hours(1.0));
        world.seen.requests = 1;
        world.run(HOUR * 2);
        assert!(world.ended);
        assert_eq!(world.now.since(world.idle_since), HOUR + DEFER_AT_MOST);
    }

    #[test]
    fn after_sleep_clients_can_come_back_first() {
        let mut world = World::new(hours(1.0));
        world.run(seconds(600));
        world.sleep(HOUR * 8);
        world.run(RETURN_GRACE - seconds(1));
        assert!(!world.ended, "ended before anybody could reconnect");
        world.run(seconds(1));
        assert!(world.ended, "sleep did not count");
    }

    #[test]
    fn a_machine_that_wakes_for_seconds_every_few_minutes_still_ends() {
        let mut world = World::new(hours(0.5));
        let mut naps = 0;
        while !world.ended {
            world.run(seconds(15));
            world.sleep(seconds(300));
            naps += 1;
            assert!(naps < 121, "never ends");
        }
    }

    #[test]
    fn a_clock_that_steps_back_does_not_end_the_machine_early_nor_never() {
        let mut timer = IdleTimer::new(hours(1.0), Moment::at(HOUR * 5));
        let mut end_after = Duration::ZERO;
        let mut now = HOUR * 5;
        for second in 0.. {
            if second == 1800 {
                now = HOUR;
            }
            if timer.look(Moment::at(now), NOBODY) == Decision::End {
                end_after = seconds(second);
                break;
            }
            now += seconds(1);
        }
        assert!(end_after >= HOUR && end_after <= HOUR + seconds(2), "{end_after:?}");
    }

    #[derive(Debug, Clone)]
    enum Event {
        Run(u64),
        Sleep(u64),
        Begin,
        End,
        Requests(u32),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            (0u64..3000).prop_map(Event::Run),
            (0u64..20_000).prop_map(Event::Sleep),
            Just(Event::Begin),
            Just(Event::End),
            (0u32..2).prop_map(Event::Requests),
        ];
        proptest::collection::vec(event, 0..40)
    }

    proptest! {
        /// Whatever happens: never early, never in the face of somebody who is there or may be returning, and
        /// never not at all.
        #[test]
        fn ends_neither_early_nor_never(events in events(), after in 0.01f64..2.0) {
            let idle = hours(after);
            let after = idle.duration().unwrap();
            let mut world = World::new(idle);
            for event in events {
                match event {
                    Event::Run(time) => world.run(seconds(time)),
                    Event::Sleep(time) => world.sleep(seconds(time)),
                    Event::Begin => world.begin_session(),
                    Event::End => world.end_session(),
                    Event::Requests(requests) => world.seen.requests = requests,
                }
                if world.ended {
                    break;
                }
            }
            if !world.ended {
                // Left alone, with requests of strangers all the time.
                while world.seen.sessions > 0 {
                    world.end_session();
                }
                world.seen.requests = 1;
                world.run(after + RETURN_GRACE + DEFER_AT_MOST + LOOK_EVERY);
                prop_assert!(world.ended, "never ended");
            }

            prop_assert_eq!(world.seen.sessions, 0);
            prop_assert!(world.now.since(world.idle_since) >= after, "early");
            if let Some(woke) = world.woke {
                let grace = RETURN_GRACE.min(after);
                // Each sleep counts as one look of attended time.
                prop_assert!(
                    world.now.since(woke) >= grace || world.awake + LOOK_EVERY * 40 >= after,
                    "no time to come back"
                );
            }
        }
    }
}
