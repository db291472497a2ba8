//! The child process of a pipe: how it is started, and how it ends.

use std::{io, pin::Pin, process::Stdio, sync::PoisonError, time::Duration};

use irp_wire::tasks::Tasks;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStderr, ChildStdout},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Carried, SAID_MAX, Said,
    input::{self, Input},
};
use crate::apart;

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
) -> io::Result<(Input, ChildStdout)> {
    let Carried { mut program, afterwards } = carried;
    let prepared = input::prepare(&mut program)?;
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    // Signals of the terminal are for irp alone, and what is forgotten is killed.
    apart::set(&mut program);
    program.kill_on_drop(true);
    let mut child = program.spawn()?;
    // The command holds the child's end of its stdin: while it lives, the child never reads an end.
    drop(program);
    let missing = || io::Error::other("the program has no stdout");
    let output = child.stdout.take().ok_or_else(missing)?;
    let errors = child.stderr.take().ok_or_else(missing)?;
    let input = input::of(prepared, &mut child)?;
    owner.spawn(keep(child, errors, said, gone, afterwards));
    Ok((input, output))
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
