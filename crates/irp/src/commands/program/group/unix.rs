//! A program with all that it has started: a process group.

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Child;

/// A process group, called after its first process. The number is not given away while any process is in it.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    /// That of a child which was started apart.
    pub(super) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    /// Asks all processes in it to end.
    pub(super) fn terminate(&self) {
        self.send(Signal::TERM);
    }

    /// Ends all processes in it.
    pub(super) fn kill(&self) {
        self.send(Signal::KILL);
    }

    /// Whether no process is left in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none_or(|group| test_kill_process_group(group).is_err())
    }

    /// It is empty: its number may be another's from now on.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    fn send(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // They may have ended this very moment.
            let _ = kill_process_group(group, signal);
        }
    }
}
