//! A program of this project under way: what it tells as JSON is read, signals are sent, its end is waited for.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::process::find;

/// How long anything may take here; the machines of CI are shared.
pub const WITHIN: Duration = Duration::from_secs(60);

/// A program under way that prints one JSON object a line; it is killed on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Running {
    /// Starts it; what it writes to stderr goes to `log`.
    #[must_use]
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let log_file = fs::File::create(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log_file).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, log }
    }

    /// Reads on to the event called `name`. The test's own time limit ends a wait for ever.
    ///
    /// # Panics
    ///
    /// When the program ends before it.
    pub fn event(&mut self, name: &str) -> Value {
        self.events_to(name).pop().unwrap()
    }

    /// The same with all events before it, which it is the last of.
    ///
    /// # Panics
    ///
    /// When the program ends before it.
    pub fn events_to(&mut self, name: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        while events.last().is_none_or(|event| event["event"] != name) {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                panic!("no {name} in:\n{events:#?}\n{}", self.log());
            }
            events.push(serde_json::from_str(&line).unwrap());
        }
        events
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Does what Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Asks it to end, as systemd does.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks it to read its configuration again, as `systemctl reload` does.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Puts it to sleep as it is, like the PC whose lid is closed.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Wakes it up.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Kills it as a power cut does.
    pub fn kill(self) {
        self.signal("-KILL");
        self.end();
    }

    fn signal(&self, name: &str) {
        let kill = find("kill", "procps").unwrap();
        assert!(Command::new(kill).args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Tells whether it has not ended yet.
    pub fn is_under_way(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not come within [`WITHIN`].
    pub fn end(mut self) -> ExitStatus {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", fs::read_to_string(&self.log).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
