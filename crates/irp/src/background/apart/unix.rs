//! A session of its own: closing the terminal ends its processes.

use std::{
    io,
    process::{Child, Command},
};

/// Starts a process that leaves the terminal by itself.
///
/// # Errors
///
/// When there is no such program.
pub(crate) fn start(command: &mut Command) -> io::Result<Child> {
    command.spawn()
}

/// Leaves the terminal. It fails only where that is so already.
pub(super) fn leave_terminal() {
    let _ = rustix::process::setsid();
}
