//! How a program ended, in one number as shells count.

#[cfg_attr(windows, path = "exit_status/windows.rs")]
#[cfg_attr(not(windows), path = "exit_status/unix.rs")]
mod system;

use std::process::ExitStatus;

/// Its exit code; what does not fit is the largest one.
pub(crate) fn code(status: ExitStatus) -> u8 {
    system::code(status).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
