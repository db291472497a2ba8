//! POSIX's signals.

use std::{future::pending, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM.
#[derive(Debug)]
pub(super) struct Asked {
    interrupt: Signal,
    terminate: Signal,
}

impl Asked {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            () = received(&mut self.interrupt) => {}
            () = received(&mut self.terminate) => {}
        }
    }
}

/// SIGHUP: the terminal is gone, or the configuration is another one.
#[derive(Debug)]
pub(super) struct Hangup(Signal);

pub(super) type Orphaned = Hangup;
pub(super) type Reread = Hangup;

impl Hangup {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    pub(super) async fn next(&mut self) {
        received(&mut self.0).await;
    }
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        pending().await
    }
}
