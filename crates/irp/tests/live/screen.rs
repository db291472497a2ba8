//! What people see of `irp up --local`: a line for each request, in a file as on a terminal.

use std::{fs, path::Path};

use irp_testkit::{
    origin::{Origin, RefusedPort},
    patience::eventually_blocking,
};
use tempfile::TempDir;

use crate::{
    program::{Running, ca_path, curl, free_port, irp},
    terminal::Terminal,
};

/// The last of what is said before the first request.
const READY: &str = "Ctrl-C to disconnect";

/// What there is to read, as far as it was written.
fn read(screen: &Path) -> String {
    String::from_utf8_lossy(&fs::read(screen).unwrap()).into_owned()
}

/// The line of the request for `path`, as its words, once it is there.
fn line_of(screen: &Path, path: &str) -> Vec<String> {
    let find = || {
        let text = read(screen);
        let line = text.split_inclusive('\n').find(|line| line.ends_with('\n') && line.contains(path))?;
        Some(line.split_whitespace().map(str::to_owned).collect())
    };
    eventually_blocking(path, || find().is_some());
    find().unwrap()
}

/// Asserts that a line is `10:02:11  POST /path  200  12 ms  remark`.
#[track_caller]
fn tells(line: &[String], method_path_status: [&str; 3], remark: &str) {
    let [time, method, path, status, took, unit, rest @ ..] = line else { panic!("{line:?}") };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(time.len() == 8 && time.split(':').filter(|part| digits(part)).count() == 3, "{line:?}");
    assert_eq!([method, path, status], method_path_status, "{line:?}");
    // On a slow machine it may be seconds.
    assert!(digits(took) && (unit == "ms" || unit == "s"), "{line:?}");
    assert_eq!(rest.join(" "), remark, "{line:?}");
}

#[test]
fn each_request_has_its_line_in_a_log() {
    let home = TempDir::new().unwrap();
    let origin = Origin::start();
    let (port, upstream) = (free_port().to_string(), origin.port().to_string());
    let screen = home.path().join("up.log");
    let up = irp(home.path(), &["up", "--local", &upstream, "--port", &port]);
    let up = Running::start(up, screen.clone());
    eventually_blocking("it is ready", || read(&screen).contains(READY));

    let ca = ca_path(home.path());
    let visit = |path: &str, more: &[&str]| {
        curl(&ca, &[&["--noproxy", "*", &format!("https://localhost:{port}{path}")], more].concat())
    };
    visit("/slack/events?token=secret", &["-d", "hello"]);
    visit("/status/404", &[]);
    visit("/bytes/100000", &["-X", "DELETE", "-o", "/dev/null"]);
    tells(&line_of(&screen, "/slack"), ["POST", "/slack/events", "200"], "");
    tells(&line_of(&screen, "/status"), ["GET", "/status/404", "404"], "");
    tells(&line_of(&screen, "/bytes"), ["DELETE", "/bytes/100000", "200"], "");
    let text = read(&screen);
    // A file has no colours, and a query is nobody's business.
    assert!(!text.contains('\u{1b}') && !text.contains("secret"), "{text}");
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn each_request_has_its_line_on_a_terminal_in_colours() {
    let home = TempDir::new().unwrap();
    let gone = RefusedPort::take();
    let (port, upstream) = (free_port().to_string(), gone.address().port().to_string());
    let screen = home.path().join("screen");
    let up = irp(home.path(), &["up", "--local", &upstream, "--port", &port]);
    let mut terminal = Terminal::start(&up, &screen);
    eventually_blocking("it is ready", || terminal.screen().contains(READY));
    let ca = ca_path(home.path());
    let url = format!("https://localhost:{port}/page?q");
    let answer = curl(&ca, &["--noproxy", "*", "-w", "%{http_code}", &url]);
    assert!(answer.ends_with("502"), "{answer}");

    let line = line_of(&screen, "/page").join(" ");
    assert!(line.contains("\u{1b}[31m502\u{1b}[0m"), "{line:?}");
    let plain = anstream::adapter::strip_str(&line).to_string();
    let words: Vec<_> = plain.split_whitespace().map(str::to_owned).collect();
    tells(&words, ["GET", "/page", "502"], "the upstream gave no answer");
    // Ctrl-C.
    terminal.type_in("\u{3}");
    assert_eq!(terminal.end(), Some(0));
}
