//! Ctrl-C and SIGTERM: once means finish and leave, twice means now. SIGHUP: read the configuration again.

use std::{io, sync::Arc};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

use crate::error::{Failure, Kind};

/// The exit code after the second signal: 128 and the number of SIGINT, as shells count.
pub(crate) const QUIT_CODE: u8 = 130;

/// What tells the process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    asked: Arc<Notify>,
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
            Ok(Self { interrupt, terminate, asked: Arc::default() })
        };
        both().map_err(|error| Failure::new(Kind::Internal, "cannot listen to signals").because(&error))
    }

    /// What counts as a signal too, when it is told.
    pub(crate) fn also(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = self.asked.notified() => {}
        }
    }
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
        let hangup = signal(SignalKind::hangup())
            .map_err(|error| Failure::new(Kind::Internal, "cannot listen to signals").because(&error))?;
        Ok(Self(hangup))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}
