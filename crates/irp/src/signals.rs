//! Ctrl-C and SIGTERM: once means finish and leave, twice means now. SIGHUP: read the configuration again.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
    time::Instant,
};

use crate::error::{Failure, Kind};

/// The exit code after the second signal: 128 and the number of SIGINT, as shells count.
pub(crate) const QUIT_CODE: u8 = 130;

/// A signal that comes so soon after another is its echo: npm passes on what a terminal has sent to all already. Nobody
/// presses a key twice so quickly.
const ECHO: Duration = Duration::from_millis(100);

/// What tells the process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
    last: Option<Instant>,
    asked: Arc<Notify>,
    heard: Arc<AtomicBool>,
}

impl Signals {
    /// Takes both signals over from the system.
    ///
    /// # Errors
    ///
    /// When the system does not hand them over.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let both = || -> io::Result<Self> {
            let interrupt = signal(SignalKind::interrupt())?;
            let terminate = signal(SignalKind::terminate())?;
            let (asked, heard) = (Arc::default(), Arc::default());
            Ok(Self { interrupt, terminate, hangup: None, last: None, asked, heard })
        };
        both().map_err(|error| deaf(&error))
    }

    /// Takes over the end of the terminal too, which else ends the process: for one that has others to end first.
    ///
    /// # Errors
    ///
    /// When the system does not hand it over.
    pub(crate) fn and_hangup(&mut self) -> Result<(), Failure> {
        self.hangup = Some(signal(SignalKind::hangup()).map_err(|error| deaf(&error))?);
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
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
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

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn deaf(error: &io::Error) -> Failure {
    Failure::new(Kind::Internal, "cannot listen to signals").because(error)
}

/// What tells a server to read its configuration again. Where nobody listens, SIGHUP ends the process: that is
/// right for programs on a terminal that goes away.
#[derive(Debug)]
pub(crate) struct Reload(Signal);

impl Reload {
    /// Takes SIGHUP over from the system.
    ///
    /// # Errors
    ///
    /// When the system does not hand it over.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self(signal(SignalKind::hangup()).map_err(|error| deaf(&error))?))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}
