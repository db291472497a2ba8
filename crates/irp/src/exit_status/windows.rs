//! Every program has an exit code.

use std::process::ExitStatus;

pub(super) fn code(status: ExitStatus) -> Option<i32> {
    status.code()
}
