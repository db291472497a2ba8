//! The idle timer: when nobody has been connected for long enough, the machine ends.
//!
//! - A **session** is a native tunnel, a forward through sshd, or an authenticated ssh login. While one is
//!   there the timer stands. It counts from the end of the last one, or from the start if nobody ever came.
//! - A **request** in flight puts the end off, but by [`DEFER_AT_MOST`] only: without a session no request can
//!   reach an upstream, and strangers, who knock on every public address, must not keep a machine alive.
//! - **Events that wait** in the inbox hold the machine as a session does, until they are delivered or too old: they
//!   were acknowledged. Absolute ends, which others keep, hold all the same.
//! - The clock is [`BootClock`]: time spent asleep counts, and nobody can set it, so steps of the wall clock
//!   mean nothing here. When the process itself did not run for a while (the machine slept, the hypervisor
//!   paused it), clients get [`RETURN_GRACE`] to come back before the end, see [`IdleTimer`].
//! - The timer needs no tunnel, no network and no lock of the request path. It holds no lock at all.
//!
//! [`Activity`] counts with drop guards, [`IdleTimer`] decides and does nothing else, [`run`] drives both and
//! ends the machine through [`Power`](crate::power::Power).

mod activity;
mod after;
mod clock;
mod driver;
mod timer;

pub use activity::{Activity, RequestGuard, Seen, SessionGuard};
pub use after::{DEFAULT_IDLE_HOURS, IdleAfter, IdleAfterError};
pub use clock::{BootClock, Clock, Moment};
pub use driver::{Outcome, run};
pub use timer::{AWAY, Countdown, DEFER_AT_MOST, Decision, IdleTimer, LOOK_EVERY, RETURN_GRACE};
