//! `-- COMMAND`: a program that irp starts, waits for, and ends with.

use std::{
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use irp_testkit::process::find;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, WITHIN, ca_path, curl, free_port, irp};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/beside.js");

/// `irp up --local` with the script beside it.
struct Stage {
    home: TempDir,
    edge_port: u16,
    port: u16,
}

impl Stage {
    fn new() -> Self {
        Self { home: TempDir::new().unwrap(), edge_port: free_port(), port: free_port() }
    }

    fn up(&self, program: &[&str]) -> Command {
        let (edge_port, port) = (self.edge_port.to_string(), self.port.to_string());
        let arguments = ["--json", "up", "--local", &port, "--port", &edge_port, "--"];
        irp(self.home.path(), &[&arguments, program].concat())
    }

    fn start(&self, mode: &str) -> Running {
        let node = find("node", "nodejs").unwrap();
        let command = self.up(&[node.to_str().unwrap(), SCRIPT, &self.port.to_string(), mode]);
        Running::start(command, self.home.path().join("up.log"))
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.edge_port)
    }

    fn get(&self, path: &str) -> String {
        curl(&ca_path(self.home.path()), &[&self.url(path)])
    }

    /// What the program was told, and the numbers of its processes.
    fn told(&self) -> (String, Vec<u64>) {
        let told: Value = serde_json::from_str(&self.get("/")).unwrap();
        let pids = told["pids"].as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap());
        (told["url"].as_str().unwrap().to_owned(), pids.collect())
    }

    fn wait_for(&self, file: &str) {
        wait(file, || self.home.path().join(file).exists());
    }
}

fn wait(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A process that has ended may stay in the table for a moment, as a zombie.
fn is_gone(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

fn all_gone(pids: &[u64]) {
    wait("the end of all processes", || pids.iter().all(|pid| is_gone(*pid)));
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_program_is_waited_for_and_knows_its_url_and_irp_ends_with_its_code() {
    let stage = Stage::new();
    let mut up = stage.start("");
    up.event("program_started");
    up.event("program_listens");
    // Only what is behind a listening program is shown to the world.
    let url = up.event("url")["url"].as_str().unwrap().to_owned();
    let (told, pids) = stage.told();
    assert_eq!(told, url);
    assert!(pids.iter().all(|pid| !is_gone(*pid)), "{pids:?}");
    assert!(up.log().contains("hello from the program"), "{}", up.log());

    assert_eq!(stage.get("/exit/3"), "bye");
    assert_eq!(up.event("program_ended")["code"], 3);
    assert_eq!(up.end().code(), Some(3));
    // Its child did not outlive irp either.
    all_gone(&pids);
}

#[test]
fn the_first_signal_lets_a_request_finish_and_then_ends_the_program() {
    let stage = Stage::new();
    let mut up = stage.start("");
    up.event("url");
    let (_, pids) = stage.told();
    let (ca, url) = (ca_path(stage.home.path()), stage.url("/slow"));
    let visitor = std::thread::spawn(move || curl(&ca, &[&url]));
    stage.wait_for("is-slow");
    up.interrupt();
    up.event("stopping");
    assert!(visitor.join().unwrap().contains("pids"));
    assert_eq!(up.end().code(), Some(0));
    assert!(stage.home.path().join("asked-to-end").exists());
    all_gone(&pids);
}

/// In the background irp keeps what the program writes, and ends with it as in front.
#[test]
fn a_program_goes_to_the_background_with_irp_and_ends_with_it() {
    let stage = Stage::new();
    let node = find("node", "nodejs").unwrap();
    let (edge_port, port) = (stage.edge_port.to_string(), stage.port.to_string());
    let up = ["up", "--local", "--detach", &port, "--port", &edge_port, "--"];
    // The program's own flag of that name is not irp's.
    let program = [node.to_str().unwrap(), SCRIPT, &port, "quiet", "--detach"];
    let detach = || irp(stage.home.path(), &[&up[..], &program].concat()).output().unwrap();
    let output = detach();
    assert!(output.status.success(), "{}", said(&output));
    let url = format!("https://alice.localhost:{edge_port}\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), url, "the URL and nothing of the program");
    let (told, pids) = stage.told();
    assert_eq!(told, url.trim_end());
    // Typed again, it starts nothing, though the program has the port.
    let output = detach();
    assert!(output.status.success() && said(&output).contains("already"), "{}", said(&output));
    assert_eq!(stage.told().1, pids);
    let log = std::fs::read_dir(stage.home.path().join(".local/state/irp/background")).unwrap();
    let log =
        log.map(|file| file.unwrap().path()).find(|file| file.extension().is_some_and(|it| it == "log"));
    let log = std::fs::read_to_string(log.unwrap()).unwrap();
    assert!(log.contains("hello from the program"), "{log}");

    let output = irp(stage.home.path(), &["disconnect"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(stage.home.path().join("asked-to-end").exists());
    all_gone(&pids);

    // A program that ends takes irp with it; its code is told where somebody still waits for it.
    let output = detach();
    assert!(output.status.success(), "{}", said(&output));
    let (_, pids) = stage.told();
    assert_eq!(stage.get("/exit/3"), "bye");
    all_gone(&pids);
    wait("the end of irp", || {
        irp(stage.home.path(), &["disconnect"]).output().unwrap().status.code() == Some(2)
    });
    let fails = ["/bin/sh", "-c", "exit 7"];
    let output = irp(stage.home.path(), &[&up[..], &fails].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    assert!(output.stdout.is_empty() && said(&output).contains("has ended"), "{}", said(&output));
}

/// Interrupted before there is a tunnel, nothing of it stays.
#[test]
fn an_interrupted_detach_leaves_no_program_behind() {
    let stage = Stage::new();
    let (edge_port, port) = (stage.edge_port.to_string(), stage.port.to_string());
    let up = ["up", "--local", "--detach", &port, "--port", &edge_port, "--"];
    // It never listens.
    let script = "echo $$ > pid; exec sleep 600";
    let command = irp(stage.home.path(), &[&up[..], &["/bin/sh", "-c", script]].concat());
    let up = Running::start(command, stage.home.path().join("up.log"));
    let pid =
        || std::fs::read_to_string(stage.home.path().join("pid")).unwrap_or_default().trim().parse().ok();
    wait("the program", || pid().is_some());
    up.interrupt();
    assert_eq!(up.end().code(), Some(130));
    all_gone(&[pid().unwrap()]);
}

#[test]
fn a_terminal_that_goes_away_ends_the_program_too() {
    let stage = Stage::new();
    let mut up = stage.start("");
    up.event("url");
    let (_, pids) = stage.told();
    up.hang_up();
    assert_eq!(up.end().code(), Some(0));
    all_gone(&pids);
}

#[test]
fn a_program_that_does_not_end_is_killed_at_the_second_signal() {
    let stage = Stage::new();
    let mut up = stage.start("stubborn");
    up.event("url");
    let (_, pids) = stage.told();
    up.interrupt();
    stage.wait_for("asked-to-end");
    up.interrupt();
    up.event("warning");
    assert_eq!(up.end().code(), Some(0));
    all_gone(&pids);
}

#[test]
fn connect_tells_the_program_its_url_before_there_is_an_edge() {
    let home = TempDir::new().unwrap();
    assert!(irp(home.path(), &["keygen"]).output().unwrap().status.success());
    let node = find("node", "nodejs").unwrap();
    let print = "console.error('at', process.env.PUBLIC_URL); process.exit(9)";
    let port = free_port().to_string();
    let connect = ["connect", "bot.localhost:8443", "--name", "shop.localhost", &port, "--"];
    let program = [node.to_str().unwrap(), "-e", print];
    let output = irp(home.path(), &[&connect[..], &program].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", said(&output));
    assert!(said(&output).contains("at https://shop.localhost:8443\n"), "{}", said(&output));
}

#[test]
fn a_program_that_cannot_serve_is_told_with_what_to_do() {
    let stage = Stage::new();
    let run = |program: &[&str]| stage.up(program).output().unwrap();
    let output = run(&["/no/such/program", "x"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("cannot start `/no/such/program x`"), "{}", said(&output));
    let output = run(&["/bin/true"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("never listened at"), "{}", said(&output));
    let output = run(&["/bin/sh", "-c", "kill -KILL $$"]);
    assert_eq!(output.status.code(), Some(128 + 9), "{}", said(&output));

    let _taken = std::net::TcpListener::bind(("127.0.0.1", stage.port)).unwrap();
    let output = run(&["/bin/true"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("something listens at"), "{}", said(&output));

    let output =
        irp(Path::new(stage.home.path()), &["up", "--local", "--", "node", "app.js"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("hint: irp up 3000 -- node app.js"), "{}", said(&output));
}
