//! A program that a signal ended has no exit code.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

/// The number that shells add to that of a signal.
const BY_SIGNAL: i32 = 128;

pub(super) fn code(status: ExitStatus) -> Option<i32> {
    status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal))
}
