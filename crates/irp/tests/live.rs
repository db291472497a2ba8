//! The program as a person runs it: an edge, a client, curl.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use irp_testkit::process::find;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take here; the machines of CI are shared.
const WITHIN: Duration = Duration::from_secs(60);

fn irp(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_irp"));
    command.args(arguments).env_clear().env("HOME", home).env("USER", "alice").current_dir(home);
    command
}

/// A program under way that prints one JSON object a line; it dies with the test.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Running {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let log_file = fs::File::create(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log_file).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, log }
    }

    /// Reads on to the event called `name`. The test's own time limit ends a wait for ever.
    fn event(&mut self, name: &str) -> Value {
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

    fn interrupt(&self) {
        let kill = find("kill", "procps").unwrap();
        assert!(Command::new(kill).args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
    }

    fn end(mut self) -> ExitStatus {
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

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn curl(ca: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(find("curl", "curl").unwrap());
    command.args(["-sS", "--max-time", "30", "--cacert", ca]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn ca_path(home: &Path) -> String {
    let output = irp(home, &["ca", "path"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn up_local_serves_the_echo_application_under_every_local_name() {
    let home = TempDir::new().unwrap();
    let port = free_port();
    let arguments = ["up", "--local", "--json", "--port", &port.to_string()];
    let mut up = Running::start(irp(home.path(), &arguments), home.path().join("up.log"));
    let url = up.event("url")["url"].as_str().unwrap().to_owned();
    assert_eq!(url, format!("https://alice.localhost:{port}"));

    let ca = ca_path(home.path());
    let resolve = format!("alice.localhost:{port}:127.0.0.1");
    let echo = curl(&ca, &["--resolve", &resolve, &format!("{url}/a?b=c"), "-d", "hello"]);
    let echo: Value = serde_json::from_str(&echo).unwrap();
    assert_eq!((&echo["method"], &echo["path"]), (&"POST".into(), &"/a?b=c".into()));
    assert_eq!(echo["body_bytes"], 5);
    for host in ["localhost", "127.0.0.1"] {
        let page = curl(&ca, &["-H", "accept: text/html", &format!("https://{host}:{port}/")]);
        assert!(page.contains("It works"), "{host}: {page}");
    }
    let request = up.event("request");
    assert_eq!((&request["path"], &request["status"]), (&"/a".into(), &200.into()));

    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn the_first_signal_lets_a_request_finish() {
    let home = TempDir::new().unwrap();
    let upstream = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = upstream.local_addr().unwrap().port().to_string();
    let port = free_port();
    let arguments = ["up", "--local", &target, "--json", "--port", &port.to_string()];
    let mut up = Running::start(irp(home.path(), &arguments), home.path().join("up.log"));
    up.event("url");
    let ca = ca_path(home.path());
    let url = format!("https://localhost:{port}/slow");

    let visitor = std::thread::spawn(move || curl(&ca, &[&url]));
    let (mut stream, _) = upstream.accept().unwrap();
    let mut head = String::new();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    while !head.ends_with("\r\n\r\n") {
        assert!(lines.read_line(&mut head).unwrap() > 0);
    }
    // The request is with the upstream; only then the signal comes, and only then the answer.
    up.interrupt();
    up.event("stopping");
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nslow").unwrap();
    assert_eq!(visitor.join().unwrap(), "slow");
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn connect_forwards_through_an_edge_and_a_second_client_takes_over() {
    let home = TempDir::new().unwrap();
    let made = irp(home.path(), &["--json", "keygen"]).output().unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let config = format!(
        "listen = [\"127.0.0.1:0\"]\nstate_dir = {:?}\n[certificate]\nmode = \"local\"\n\
         [[key]]\npublic = {}\nnames = [\"bot.localhost\"]\n",
        home.path().join("edge"),
        made["public"],
    );
    fs::write(home.path().join("edge.toml"), config).unwrap();
    let command = irp(home.path(), &["edge", "--config", "edge.toml", "--json"]);
    let mut edge = Running::start(command, home.path().join("edge.log"));
    let address = edge.event("listening")["addresses"][0].as_str().unwrap().to_owned();
    let port = address.rsplit(':').next().unwrap();
    let ca = ca_path(home.path());

    // Nothing listens there.
    let upstream = free_port().to_string();
    let host = format!("bot.localhost:{port}");
    let connect = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", &ca];
    let mut first = Running::start(irp(home.path(), &connect), home.path().join("first.log"));
    first.event("connected");
    // The answer names the port.
    let resolve = format!("bot.localhost:{port}:127.0.0.1");
    let url = format!("https://bot.localhost:{port}/x");
    let answer = curl(&ca, &["--resolve", &resolve, "-w", "%{http_code}", &url]);
    assert!(answer.ends_with("502") && answer.contains(&upstream), "{answer}");

    let mut second = Running::start(irp(home.path(), &connect), home.path().join("second.log"));
    second.event("connected");
    assert_eq!(first.event("error")["kind"], "taken-over");
    assert_eq!(first.end().code(), Some(7));

    second.interrupt();
    assert_eq!(second.end().code(), Some(0));
    edge.interrupt();
    assert_eq!(edge.end().code(), Some(0));
}

#[test]
fn a_key_that_the_edge_does_not_know_is_refused_with_what_to_do() {
    let home = TempDir::new().unwrap();
    assert!(irp(home.path(), &["keygen"]).output().unwrap().status.success());
    let config = format!(
        "listen = [\"127.0.0.1:0\"]\nstate_dir = {:?}\n[certificate]\nmode = \"local\"\n[[key]]\n\
         public = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8cU9WHIxFEGvIhVyFDuYtEKKyNi4BGRWXDZZ2kTmIe\"\n\
         names = [\"bot.localhost\"]\n",
        home.path().join("edge"),
    );
    fs::write(home.path().join("edge.toml"), config).unwrap();
    let command = irp(home.path(), &["edge", "--config", "edge.toml", "--json"]);
    let mut edge = Running::start(command, home.path().join("edge.log"));
    let address = edge.event("listening")["addresses"][0].as_str().unwrap().to_owned();
    let host = format!("bot.localhost:{}", address.rsplit(':').next().unwrap());
    let ca = ca_path(home.path());
    let connect = ["connect", &host, "3000", "--connect-to", &address, "--cacert", &ca];
    let output = irp(home.path(), &connect).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("hint: [[key]] public = \"ssh-ed25519 "), "{said}");
}
