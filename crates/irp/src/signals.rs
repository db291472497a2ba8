//! Ctrl-C and SIGTERM: once means finish and leave, twice means now. SIGHUP: read the configuration again.
//!
//! Windows has Ctrl-C and Ctrl-Break, the end of the console, and nothing that asks for the configuration.

#[cfg_attr(windows, path = "signals/windows.rs")]
#[cfg_attr(not(windows), path = "signals/unix.rs")]
mod system;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use self::system::{Asked, Orphaned, Reread};
use crate::error::{Failure, Kind};

/// The exit code after the second signal: 128 and the number of SIGINT, as shells count.
pub(crate) const QUIT_CODE: u8 = 130;

/// A signal that comes so soon after another is its echo: npm passes on what a terminal has sent to all already. Nobody
/// presses a key twice so quickly.
const ECHO: Duration = Duration::from_millis(100);

/// What tells the process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    told: Asked,
    hangup: Option<Orphaned>,
    last: Option<Instant>,
    asked: Arc<Notify>,
    heard: Arc<AtomicBool>,
}

impl Signals {
    /// Takes the signals over from the system.
    ///
    /// # Errors
    ///
    /// When the system does not hand them over.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let told = Asked::listen().map_err(|error| deaf(&error))?;
        Ok(Self { told, hangup: None, last: None, asked: Arc::default(), heard: Arc::default() })
    }

    /// Takes over the end of the terminal too, which else ends the process: for one that has others to end first.
    ///
    /// # Errors
    ///
    /// When the system does not hand it over.
    pub(crate) fn and_hangup(&mut self) -> Result<(), Failure> {
        self.hangup = Some(Orphaned::listen().map_err(|error| deaf(&error))?);
        Ok(())
    }

    /// Whether there was one by now.
    pub(crate) fn heard(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.heard)
    }

    /// What counts as a signal too, when it is told.
    pub(crate) fn also(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                () = self.told.next() => {}
                () = hung_up(&mut self.hangup) => {}
                () = self.asked.notified() => break,
            }
            let now = Instant::now();
            if self.last.replace(now).is_none_or(|last| now - last > ECHO) {
                break;
            }
        }
        self.heard.store(true, Ordering::Relaxed);
    }
}

async fn hung_up(hangup: &mut Option<Orphaned>) {
    match hangup {
        Some(hangup) => hangup.next().await,
        None => std::future::pending().await,
    }
}

fn deaf(error: &io::Error) -> Failure {
    Failure::new(Kind::Internal, "cannot listen to signals").because(error)
}

/// The end of the terminal, for a program without one of its own: ssh's `ProxyCommand`.
#[derive(Debug)]
pub(crate) struct Hangup(Orphaned);

impl Hangup {
    /// Takes it over from the system.
    ///
    /// # Errors
    ///
    /// When the system does not hand it over.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self(Orphaned::listen().map_err(|error| deaf(&error))?))
    }

    /// Waits for it.
    pub(crate) async fn next(&mut self) {
        self.0.next().await;
    }
}

/// What tells a server to read its configuration again. Where nobody listens, SIGHUP ends the process: that is
/// right for programs on a terminal that goes away.
#[derive(Debug)]
pub(crate) struct Reload(Reread);

impl Reload {
    /// Takes it over from the system.
    ///
    /// # Errors
    ///
    /// When the system does not hand it over.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self(Reread::listen().map_err(|error| deaf(&error))?))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        self.0.next().await;
    }
}
