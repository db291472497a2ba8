//! A process group of a console: Ctrl-C is switched off in it.

use tokio::process::Command;

/// `CREATE_NEW_PROCESS_GROUP` (Process Creation Flags of the Windows API).
const NEW_PROCESS_GROUP: u32 = 0x0000_0200;

pub(super) fn set(command: &mut Command) {
    command.creation_flags(NEW_PROCESS_GROUP);
}
