//! A session of its own: closing the terminal ends its processes.

use std::{
    io,
    process::{Child, Command},
};

use rustix::process::{Pid, Signal, kill_process};

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

/// Asks a process that was started so to leave as Ctrl-C does; whether that could be asked.
pub(crate) fn ask_to_leave(child: &Child) -> bool {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    id.is_some_and(|id| kill_process(id, Signal::TERM).is_ok())
}
