//! The program as a process of its own: started, listened to, and ended.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use irp_testkit::process::find;
use serde_json::Value;

/// How long anything may take here; the machines of CI are shared.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn irp(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_irp"));
    command.args(arguments).env_clear().env("HOME", home).env("USER", "alice").current_dir(home);
    command
}

/// A program under way that prints one JSON object a line; it dies with the test.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Running {
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Self {
        let log_file = fs::File::create(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log_file).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, log }
    }

    /// Reads on to the event called `name`. The test's own time limit ends a wait for ever.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        let mut seen = String::new();
        loop {
            let before = seen.len();
            if self.lines.read_line(&mut seen).unwrap() == 0 {
                panic!("no {name} in:\n{seen}\n{}", fs::read_to_string(&self.log).unwrap_or_default());
            }
            let event: Value = serde_json::from_str(&seen[before..]).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Does what Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Asks it to read its configuration again, as `systemctl reload` does.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, name: &str) {
        let kill = find("kill", "procps").unwrap();
        assert!(Command::new(kill).args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn end(mut self) -> ExitStatus {
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

pub(crate) fn free_port() -> u16 {
    irp_testkit::port::unused().unwrap()
}

pub(crate) fn curl(ca: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(find("curl", "curl").unwrap());
    command.args(["-sS", "--max-time", "30", "--cacert", ca]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn ca_path(home: &Path) -> String {
    let output = irp(home, &["ca", "path"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
