//! The program's stdin: one end of a pair of sockets.

use std::{io, os::fd::OwnedFd, process::Stdio};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
};

/// Where to write to it.
pub(super) type Input = UnixStream;

/// Each write is to be one read of the program, which packets guarantee. macOS has none between processes: a program
/// that falls behind reads pieces together there.
const KIND: Type = if cfg!(target_vendor = "apple") { Type::STREAM } else { Type::SEQPACKET };

/// Gives one end to a program that is to be started, and keeps the other.
pub(super) fn prepare(program: &mut Command) -> io::Result<OwnedFd> {
    let (ours, theirs) = Socket::pair(Domain::UNIX, KIND, None)?;
    ours.set_nonblocking(true)?;
    program.stdin(Stdio::from(OwnedFd::from(theirs)));
    Ok(ours.into())
}

/// The end that was kept.
pub(super) fn of(ours: OwnedFd, _: &mut Child) -> io::Result<Input> {
    UnixStream::from_std(ours.into())
}
