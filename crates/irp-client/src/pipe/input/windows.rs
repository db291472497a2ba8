//! The program's stdin: a pipe. There are no packets in it, so a program that falls behind reads pieces together.

use std::{io, process::Stdio};

use tokio::process::{Child, ChildStdin, Command};

/// Where to write to it.
pub(super) type Input = ChildStdin;

/// Asks for a pipe.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere the system may refuse")]
pub(super) fn prepare(program: &mut Command) -> io::Result<()> {
    program.stdin(Stdio::piped());
    Ok(())
}

/// The end of the pipe that is ours.
pub(super) fn of((): (), child: &mut Child) -> io::Result<Input> {
    child.stdin.take().ok_or_else(|| io::Error::other("the program has no stdin"))
}
