//! What a console tells its programs.

use std::{future::pending, io};

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_logoff,
    ctrl_shutdown,
};

/// Ctrl-C, Ctrl-Break, and the end of the system.
#[derive(Debug)]
pub(super) struct Asked {
    interrupt: CtrlC,
    break_off: CtrlBreak,
    shutdown: CtrlShutdown,
}

impl Asked {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: ctrl_c()?, break_off: ctrl_break()?, shutdown: ctrl_shutdown()? })
    }

    pub(super) async fn next(&mut self) {
        let got = tokio::select! {
            got = self.interrupt.recv() => got,
            got = self.break_off.recv() => got,
            got = self.shutdown.recv() => got,
        };
        for_ever_if_deaf(got).await;
    }
}

/// The console is closed, or its user logs off. Windows lets a program live for some five seconds then.
#[derive(Debug)]
pub(super) struct Orphaned {
    close: CtrlClose,
    log_off: CtrlLogoff,
}

impl Orphaned {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { close: ctrl_close()?, log_off: ctrl_logoff()? })
    }

    pub(super) async fn next(&mut self) {
        let got = tokio::select! {
            got = self.close.recv() => got,
            got = self.log_off.recv() => got,
        };
        for_ever_if_deaf(got).await;
    }
}

/// Nothing asks for that.
#[derive(Debug)]
pub(super) struct Reread(());

impl Reread {
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere the system may refuse")]
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self(()))
    }

    pub(super) async fn next(&mut self) {
        pending().await
    }
}

async fn for_ever_if_deaf(got: Option<()>) {
    if got.is_none() {
        pending().await
    }
}
