//! The bytes of a connection over the stdin and stdout of a child process, instead of a TCP socket.
//!
//! It is made for AWS's `session-manager-plugin`, which carries one TCP connection to a port of a machine that no
//! port of a security group leads to. Its manners, and what is done about each:
//!
//! - It reads at most [`READ`] bytes at a time, sends each read as one message, and turns a message that is exactly
//!   one line feed into a carriage return. `cutter` makes pieces that are never one line feed; each travels as a
//!   packet of its own, so that two of them never melt into a read that leaves such a rest.
//! - Before the connection's own bytes it prints lines for people on the same stdout. `preamble` takes them off.
//! - A signal of the terminal ends it at once: it gets a process group of its own, so that Ctrl-C lets requests
//!   finish first.
//!
//! Dropping a [`Pipe`] ends the child: its stdin closes, a moment later it is killed, and it is waited for in every
//! case, by a task of the owner that was given.

mod child;
mod cutter;
#[cfg_attr(windows, path = "pipe/input/windows.rs")]
#[cfg_attr(not(windows), path = "pipe/input/unix.rs")]
mod input;
mod preamble;

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use irp_wire::tasks::Tasks;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{ChildStdout, Command},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{cutter::Cutter, input::Input, preamble::Preamble};

/// The most that `session-manager-plugin` reads at a time, in bytes.
pub const READ: usize = 1024;

/// Makes the program that carries one connection; asked anew for each attempt to connect.
pub trait Carrier: fmt::Debug + Send + Sync {
    /// How people call this way, such as `Session Manager to i-0abc12345de67890f`.
    fn way(&self) -> String;

    /// Whether a socket is tried first, and this only when it gets nowhere.
    fn is_second(&self) -> bool {
        false
    }

    /// Prepares the program of one connection. The caller bounds the time that this takes.
    fn prepare(&self) -> Preparing<'_>;
}

/// What [`Carrier::prepare`] answers.
pub type Preparing<'a> = Pin<Box<dyn Future<Output = Result<Carried, CarrierError>> + Send + 'a>>;

/// A program that is ready to be started as a pipe.
pub struct Carried {
    /// The program; its stdin, stdout, stderr and process group are set by [`Pipe::start`].
    pub program: Command,
    /// What is to be done once it has ended, however that comes: it gets a few seconds.
    pub afterwards: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The program's environment may hold a secret.
        f.write_str("Carried")
    }
}

/// Why there is no pipe.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CarrierError {
    message: String,
    lasting: bool,
    hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl CarrierError {
    /// It may be better in a moment: it is worth another attempt.
    #[must_use]
    pub fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), lasting: false, hints: Vec::new(), source: None }
    }

    /// It stays so until a person does something.
    #[must_use]
    pub fn lasting(message: impl Into<String>) -> Self {
        Self { lasting: true, ..Self::passing(message) }
    }

    /// Adds what led to it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what the person can do, best as something to type.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Whether another attempt is pointless.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// The same, worth another attempt all the same.
    #[must_use]
    pub fn but_passing(mut self) -> Self {
        self.lasting = false;
        self
    }

    /// What the person can do.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

/// How the connection's own bytes begin, so that lines before them can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// With a TLS record (RFC 8446, section 5.1).
    Tls,
    /// With `SSH-` at the beginning of a line (RFC 4253, section 4.2).
    Ssh,
}

/// A running program, and the connection that it carries.
#[derive(Debug)]
pub struct Pipe {
    name: String,
    input: Input,
    cutter: Cutter,
    output: ChildStdout,
    preamble: Preamble,
    said: Said,
    _end: DropGuard,
}

/// What the program said on stderr last.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<String>>);

/// So much of it is kept, in bytes.
const SAID_MAX: usize = 2048;

impl Pipe {
    /// Starts the program. Its end is seen to by a task of `owner`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(carried: Carried, opening: Opening, owner: &Tasks) -> io::Result<Self> {
        let name = carried.program.as_std().get_program();
        let name = std::path::Path::new(name).file_name().unwrap_or(name).to_string_lossy().into_owned();
        let (said, gone) = (Said::default(), CancellationToken::new());
        let (input, output) = child::start(carried, said.clone(), gone.clone(), owner)?;
        Ok(Self {
            name,
            input,
            cutter: Cutter::default(),
            output,
            preamble: Preamble::new(opening),
            said,
            _end: gone.drop_guard(),
        })
    }

    /// Whether the connection's own bytes have begun to arrive.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.preamble.is_over()
    }

    /// What the program has said so far instead of carrying bytes, for a message to people.
    #[must_use]
    pub fn words(&self) -> String {
        let said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        let both = format!("{} {said}", self.preamble.text());
        both.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Sends what is there in pieces; unless it is to be flushed, enough stays for the last piece to be a good one.
    fn poll_drain(&mut self, cx: &mut Context<'_>, flush: bool) -> Poll<io::Result<()>> {
        while let Some(piece) = self.cutter.piece(flush) {
            let sent = ready!(Pin::new(&mut self.input).poll_write(cx, piece))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.cutter.sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    fn ended_early(&self) -> io::Error {
        let words = self.words();
        let words = if words.is_empty() { "without a word".to_owned() } else { format!("saying: {words}") };
        io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} ended {words}", self.name))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.preamble.is_over() {
            let mut room = [0; READ];
            let mut read = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut this.output).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(this.ended_early()));
            }
            if !this.preamble.take(read.filled()) {
                let words = this.words();
                let told = format!("{} says something else than it should: {words}", this.name);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, told)));
            }
        }
        if this.preamble.give(buffer) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.output).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let taken = self.cutter.push(bytes);
            let drained = self.poll_drain(cx, false)?;
            if taken > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(taken));
            }
            ready!(drained);
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx, true)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx, true))?;
        if !self.cutter.is_empty() {
            let why = format!("{} cannot carry a line feed that is alone", self.name);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}
