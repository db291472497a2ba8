//! A console of its own, without a window: closing the other one ends its processes.

use std::{
    io,
    os::windows::process::CommandExt as _,
    process::{Child, Command},
};

/// `CREATE_NO_WINDOW` and `CREATE_NEW_PROCESS_GROUP` (Process Creation Flags of the Windows API). Without any console
/// (`DETACHED_PROCESS`), each program that it starts would open a window.
const APART: u32 = 0x0800_0000 | 0x0000_0200;

/// Starts a process away from the console.
///
/// # Errors
///
/// When there is no such program.
pub(crate) fn start(command: &mut Command) -> io::Result<Child> {
    command.creation_flags(APART).spawn()
}

/// It was started away from the console.
pub(super) fn leave_terminal() {}

/// Nobody can be asked across consoles: killed, it takes the program beside it along, which is in a job of its own.
pub(crate) fn ask_to_leave(_child: &Child) -> bool {
    false
}
