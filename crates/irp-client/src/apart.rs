//! Programs that signals of the terminal do not reach: they are for irp, which ends its programs itself.

#[cfg_attr(windows, path = "apart/windows.rs")]
#[cfg_attr(not(windows), path = "apart/unix.rs")]
mod system;

use tokio::process::Command;

/// Gives the program a process group of its own.
pub fn set(command: &mut Command) {
    system::set(command);
}
