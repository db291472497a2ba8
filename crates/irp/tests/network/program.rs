//! The program as a process of its own, and what it tells with `--json`.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// A call of `irp` that sees nothing of the user's own environment.
pub(crate) fn irp(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_irp"));
    command.args(arguments).env_clear().env("HOME", home).env("USER", "alice").current_dir(home);
    // Nobody is asked who is outside.
    command.env("IRP_RESOLVER", "127.0.0.1:1");
    command
}

/// An `irp` that runs; it is killed and waited for on drop.
pub(crate) struct Program {
    child: Child,
    events: Receiver<(Instant, Value)>,
    log: PathBuf,
}

impl Program {
    /// Starts `command`, which prints one JSON object a line.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Self {
        let errors = File::create(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send((Instant::now(), serde_json::from_str(&line).unwrap()));
            }
        });
        Self { child, events, log }
    }

    /// Waits for the next event of this name, and tells when it came.
    pub(crate) fn event(&self, name: &str, within: Duration) -> Instant {
        let deadline = Instant::now() + within;
        let mut seen = Vec::new();
        while let Ok((at, event)) =
            self.events.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            if event["event"] == name {
                return at;
            }
            seen.push(event);
        }
        panic!("no {name} within {within:?}; there were {seen:#?}\n{}", self.output());
    }

    /// What it has printed for people.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
