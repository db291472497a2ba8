//! The child process of a pipe: how it is started, and how it ends.

use std::{io, os::fd::OwnedFd, pin::Pin, process::Stdio, sync::PoisonError, time::Duration};

use irp_wire::tasks::Tasks;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::UnixStream,
    process::{Child, ChildStderr, ChildStdout},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Carried, SAID_MAX, Said};

/// How long the program may take to leave once its stdin is closed.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How long a killed program may take to be gone: the system may have to write its memory to disk first.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How long what is to be done afterwards may take.
const AFTERWARDS_WITHIN: Duration = Duration::from_secs(5);

/// The longest line of its stderr that is read, in bytes.
const LINE_MAX: u64 = 4096;

/// Starts the program; `gone` is cancelled when nobody needs it any more.
pub(super) fn start(
    carried: Carried,
    said: Said,
    gone: CancellationToken,
    owner: &Tasks,
) -> io::Result<(UnixStream, ChildStdout)> {
    let Carried { mut program, afterwards } = carried;
    let (ours, theirs) = Socket::pair(Domain::UNIX, packets(), None)?;
    ours.set_nonblocking(true)?;
    let ours = std::os::unix::net::UnixStream::from(OwnedFd::from(ours));
    program.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Signals of the terminal are for irp alone, and what is forgotten is killed.
    program.process_group(0).kill_on_drop(true);
    let mut child = program.spawn()?;
    // The command holds the child's end of its stdin: while it lives, the child never reads an end.
    drop(program);
    let missing = || io::Error::other("the program has no stdout");
    let output = child.stdout.take().ok_or_else(missing)?;
    let errors = child.stderr.take().ok_or_else(missing)?;
    let input = UnixStream::from_std(ours)?;
    owner.spawn(keep(child, errors, said, gone, afterwards));
    Ok((input, output))
}

/// Each write is to be one read of the program, which packets guarantee. Where the system has none between
/// processes, a program that falls behind reads pieces together.
fn packets() -> Type {
    if cfg!(target_vendor = "apple") { Type::STREAM } else { Type::SEQPACKET }
}

/// Sees to the program's end.
async fn keep(
    mut child: Child,
    errors: ChildStderr,
    said: Said,
    gone: CancellationToken,
    afterwards: Pin<Box<dyn Future<Output = ()> + Send>>,
) {
    let listening = async {
        listen(errors, &said).await;
        // It may close its stderr and live on.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = child.wait() => {}
        () = listening => {}
        () = gone.cancelled() => {
            if timeout(LEAVE_WITHIN, child.wait()).await.is_err() {
                tracing::debug!("the program that carried the connection does not leave: it is killed");
                // It may have ended this very moment.
                let _ = child.start_kill();
                let _ = timeout(GONE_WITHIN, child.wait()).await;
            }
        }
    }
    let _ = timeout(AFTERWARDS_WITHIN, afterwards).await;
}

/// Keeps the last lines of its stderr.
async fn listen(errors: ChildStderr, said: &Said) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut errors).take(LINE_MAX).read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            _ => return,
        }
        let text = String::from_utf8_lossy(&line);
        let text: String = text.trim_end().chars().filter(|letter| !letter.is_control()).collect();
        tracing::debug!(%text, "the program that carries the connection says");
        let mut said = said.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(&text);
        said.push('\n');
        let over = said.len().saturating_sub(SAID_MAX);
        if let Some(cut) = (over..said.len()).find(|at| said.is_char_boundary(*at)) {
            said.drain(..cut);
        }
    }
}
