//! How often a certificate may be ordered, whatever happens: pure decisions over a history that is kept in the
//! store.
//!
//! Let's Encrypt allows 5 failed validations per hour and name, and 5 certificates in 7 days per exact set of
//! names. irp stops one short of both. An attempt is written down before it is made and counts as failed until
//! it is known to have ended otherwise, so killing the process in the midst of it gains nothing. Failures in a
//! row also wait ever longer, which keeps away from the limits that count in days. What the authority itself asks
//! for (`Retry-After`) comes before all that.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{clock::unix, names::Names};

/// Failed validations of one name within [`HOUR`] after which no more are asked for. Let's Encrypt: 5.
pub const FAILED_PER_HOUR: usize = 4;

/// Certificates for one exact set within [`WEEK`] after which no more are ordered. Let's Encrypt: 5.
pub const ISSUED_PER_WEEK: usize = 4;

/// An hour, and some minutes since clocks differ.
pub const HOUR: Duration = Duration::from_secs(65 * 60);

/// Seven days, and an hour since clocks differ.
pub const WEEK: Duration = Duration::from_secs((7 * 24 + 1) * 3600);

/// How long to wait after so many failures in a row; the last one for all further ones. Up to a fifth is added.
const PAUSES: [Duration; 8] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(20 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(3 * 3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(12 * 3600),
    Duration::from_secs(24 * 3600),
];

/// A `Retry-After` further away than this is taken for this: Let's Encrypt's longest limit is a week.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(8 * 24 * 3600);

/// Attempts that are remembered at most; the oldest are forgotten first.
const REMEMBERED: usize = 400;

/// How many characters of an error are remembered.
const ERROR_KEPT: usize = 300;

/// Names one attempt. Random, so that processes which share the history never name two alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptId(pub u64);

/// What was tried at one authority.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempt {
    id: AttemptId,
    names: Vec<String>,
    /// When it last got further.
    #[serde(with = "unix")]
    at: SystemTime,
    step: Step,
    /// How often a process has seen it fail; one that was killed saw nothing.
    #[serde(default)]
    failures: usize,
    /// With what it failed last, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Until when the authority wants to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<RetryAfter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct RetryAfter(#[serde(with = "unix")] SystemTime);

/// How far an attempt came. Later steps say that the earlier ones succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It may have an order.
    Begun,
    /// The authority was asked to validate.
    Validating,
    /// The authority was asked to issue, and may have done so.
    Issuing,
    /// The certificate is here.
    Issued,
}

/// Whether an attempt may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// At once.
    Now,
    /// Not before then.
    Wait {
        /// The earliest moment.
        until: SystemTime,
        /// For people.
        why: Why,
    },
}

/// Why an attempt has to wait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Why {
    /// So many attempts failed in a row, the last one with this error.
    #[error("{1} (failed {0} times in a row; the pauses grow)")]
    Failures(usize, String),
    /// This name was validated in vain too often.
    #[error("the validation of {0} has failed {FAILED_PER_HOUR} times within an hour")]
    Validations(String),
    /// Too many certificates for these names.
    #[error("{ISSUED_PER_WEEK} certificates have been ordered for these names within a week")]
    Certificates,
    /// The authority said so.
    #[error("the certificate authority asks to wait")]
    RetryAfter,
}

impl History {
    /// Whether a certificate for `names` may be ordered at `now`, and if not, what keeps it up longest.
    #[must_use]
    pub fn permit(&self, names: &Names, now: SystemTime) -> Permit {
        let set = names.as_slice();
        let waits =
            [self.retry_after(set), self.certificates(set), self.validations(set), self.failures(set)];
        longest(waits, now)
    }

    /// Whether what attempt `id` had the authority issue may be fetched at `now`. That costs nothing, so only
    /// earlier failures to fetch it and the authority's own wish keep it up.
    #[must_use]
    pub fn permit_fetching(&self, id: AttemptId, names: &Names, now: SystemTime) -> Permit {
        let failed = self.attempts.iter().find(|attempt| attempt.id == id && attempt.failures > 0);
        let pause = failed.map(|attempt| {
            (attempt.at + pause(attempt.failures, attempt.id), why_failed(attempt.failures, attempt))
        });
        let waits = [self.retry_after(names.as_slice()), pause];
        longest(waits, now)
    }

    /// How many certificates for exactly `names` the authority was asked to issue within the last [`WEEK`].
    #[must_use]
    pub fn issued(&self, names: &Names, now: SystemTime) -> usize {
        let set = names.as_slice();
        let recent = |attempt: &&Attempt| attempt.at + WEEK > now && attempt.step >= Step::Issuing;
        self.attempts.iter().filter(|attempt| attempt.names == set).filter(recent).count()
    }

    /// Writes down that an attempt begins.
    pub fn begin(&mut self, id: AttemptId, names: &Names, now: SystemTime) {
        let names = names.as_slice().to_vec();
        self.attempts.push(Attempt {
            id,
            names,
            at: now,
            step: Step::Begun,
            failures: 0,
            error: None,
            retry_after: None,
        });
    }

    /// Writes down how far the attempt has come. One that was forgotten is not remembered again.
    pub fn advance(&mut self, id: AttemptId, step: Step, now: SystemTime) {
        if let Some(attempt) = self.find(id)
            && attempt.step <= step
        {
            attempt.step = step;
            attempt.at = now;
        }
    }

    /// Writes down that the attempt has failed, for now, and with what; of that the beginning is kept.
    pub fn fail(&mut self, id: AttemptId, error: &str, now: SystemTime) {
        if let Some(attempt) = self.find(id) {
            attempt.failures += 1;
            attempt.error = Some(error.chars().take(ERROR_KEPT).collect());
            attempt.at = now;
        }
    }

    /// Writes down that the authority wants to be left alone until then.
    pub fn refuse(&mut self, id: AttemptId, until: SystemTime, now: SystemTime) {
        if let Some(attempt) = self.find(id) {
            attempt.retry_after = Some(RetryAfter(until.min(now + LONGEST_RETRY_AFTER)));
        }
    }

    /// Forgets an attempt that the authority has not seen: one that was called off before anything was asked.
    pub fn call_off(&mut self, id: AttemptId) {
        self.attempts.retain(|attempt| attempt.id != id || attempt.step > Step::Begun);
    }

    /// Forgets what no longer matters, and moves what a wrong clock put into the future back to `now`.
    pub fn settle(&mut self, now: SystemTime) {
        for attempt in &mut self.attempts {
            attempt.at = attempt.at.min(now);
            if let Some(RetryAfter(until)) = &mut attempt.retry_after {
                *until = (*until).min(now + LONGEST_RETRY_AFTER);
            }
        }
        self.attempts.retain(|attempt| {
            attempt.at + WEEK > now || attempt.retry_after.is_some_and(|RetryAfter(until)| until > now)
        });
        let surplus = self.attempts.len().saturating_sub(REMEMBERED);
        self.attempts.drain(..surplus);
    }

    fn find(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.id == id)
    }

    /// What the authority said about one of these names counts for the set.
    fn retry_after(&self, set: &[String]) -> Option<(SystemTime, Why)> {
        let about =
            self.attempts.iter().filter(|attempt| attempt.names.iter().any(|name| set.contains(name)));
        let until = about.filter_map(|attempt| attempt.retry_after.map(|RetryAfter(until)| until)).max()?;
        Some((until, Why::RetryAfter))
    }

    fn certificates(&self, set: &[String]) -> Option<(SystemTime, Why)> {
        let issued = self.attempts.iter().filter(|a| a.names == set && a.step >= Step::Issuing);
        let until = room_at(issued.map(|attempt| attempt.at), ISSUED_PER_WEEK, WEEK)?;
        Some((until, Why::Certificates))
    }

    fn validations(&self, set: &[String]) -> Option<(SystemTime, Why)> {
        let name_waits = set.iter().filter_map(|name| {
            let failed =
                self.attempts.iter().filter(|a| a.step == Step::Validating && a.names.contains(name));
            let until = room_at(failed.map(|attempt| attempt.at), FAILED_PER_HOUR, HOUR)?;
            Some((until, Why::Validations(name.clone())))
        });
        name_waits.max()
    }

    fn failures(&self, set: &[String]) -> Option<(SystemTime, Why)> {
        let own = self.attempts.iter().rev().filter(|attempt| attempt.names == set);
        let failed: Vec<_> = own.take_while(|attempt| attempt.step < Step::Issued).collect();
        let last = failed.iter().max_by_key(|attempt| attempt.at)?;
        Some((last.at + pause(failed.len(), last.id), why_failed(failed.len(), last)))
    }
}

/// How long to wait after so many failures, the last of which was `id`. The id is random and stays, so the
/// jitter is the same each time it is asked for.
fn pause(failures: usize, id: AttemptId) -> Duration {
    let pause = PAUSES[failures.clamp(1, PAUSES.len()) - 1];
    let place = u16::try_from(id.0 % 1024).unwrap_or(0);
    pause + (pause / 5).mul_f64(f64::from(place) / 1024.0)
}

fn why_failed(failures: usize, last: &Attempt) -> Why {
    let error = last.error.clone().unwrap_or_else(|| "the last attempt was broken off".to_owned());
    Why::Failures(failures, error)
}

fn longest<const N: usize>(waits: [Option<(SystemTime, Why)>; N], now: SystemTime) -> Permit {
    let longest = waits.into_iter().flatten().filter(|(until, _)| *until > now).max();
    longest.map_or(Permit::Now, |(until, why)| Permit::Wait { until, why })
}

/// When fewer than `limit` of `times` are within the last `window`; `None` when there never were as many.
fn room_at(times: impl Iterator<Item = SystemTime>, limit: usize, window: Duration) -> Option<SystemTime> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times.iter().rev().nth(limit - 1).map(|at| *at + window)
}
