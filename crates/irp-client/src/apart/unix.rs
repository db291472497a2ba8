//! A process group is what the terminal's signals go to.

use tokio::process::Command;

pub(super) fn set(command: &mut Command) {
    command.process_group(0);
}
