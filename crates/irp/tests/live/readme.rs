//! What the README tells people to type is typed here, so that it cannot lie.
//!
//! Each command must stand in the README as it is written here; then it runs with the program that was built for
//! the tests, at a port that is free, and with names below localhost.

use std::{fs, path::Path, process::Command};

use irp_testkit::{process::find, python};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, ca_path, irp};

const README: &str = include_str!("../../../../README.md");

const IRP: &str = env!("CARGO_BIN_EXE_irp");

/// The fenced blocks in this language, without the indentation of the list they are in.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if line.trim() == format!("```{language}") {
            let inner = lines.by_ref().take_while(|line| line.trim() != "```");
            blocks.push(inner.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect());
        }
    }
    blocks
}

/// The line of the `sh` blocks that begins so.
fn command(beginning: &str) -> String {
    let blocks = blocks("sh").concat();
    let line = blocks.lines().find(|line| line.starts_with(beginning));
    line.unwrap_or_else(|| panic!("the README has no line `{beginning}…`")).to_owned()
}

/// What the row of a program in the table of trust has to be typed.
fn row(program: &str) -> String {
    let row = README.lines().find(|line| line.starts_with(&format!("| {program}"))).unwrap();
    row.split('`').nth(1).unwrap().replace("$(irp ", &format!("$({IRP} "))
}

/// Has a shell run it, as somebody whose home this is.
fn shell(home: &Path, line: &str) -> String {
    let output = Command::new("/bin/sh")
        .args(["-c", line])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home)
        .env("USER", "alice")
        .current_dir(home)
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The arguments of a command of irp that has no quotes.
fn arguments(line: &str) -> Vec<&str> {
    let line = line.trim_start_matches("cargo run --release -- ").trim_start_matches("irp ");
    line.split_whitespace().collect()
}

#[test]
fn in_a_hurry() {
    let home = TempDir::new().unwrap();
    let up = command("cargo run --release -- up");
    let mut up = irp(home.path(), &arguments(&up));
    up.arg("--json");
    let mut up = Running::start(up, home.path().join("up.log"));
    let url = up.event("url")["url"].as_str().unwrap().to_owned();

    let curl = command("curl ");
    assert!(curl.contains("https://alice.localhost:8443/"), "{curl}");
    find("curl", "curl").unwrap();
    let curl = curl.replace("target/release/irp", IRP).replace("https://alice.localhost:8443", &url);
    let echo: Value = serde_json::from_str(&shell(home.path(), &curl)).unwrap();
    assert_eq!(echo["path"], "/hello");
    assert_eq!(up.event("request")["path"], "/hello");

    let page = url.replace("alice.localhost", "localhost");
    let node = format!("-e 'fetch(\"{page}\").then((reply) => reply.text()).then(console.log)'");
    let node = row("Node.js").replace('…', &node);
    let python = format!("-c 'import requests; print(requests.get(\"{page}\").text)'");
    let interpreter = python::interpreter().unwrap().get_program().display().to_string();
    let python = row("Python").replace("python …", &format!("{interpreter} {python}"));
    find("node", "nodejs").unwrap();
    for command in [node, python] {
        let echo: Value = serde_json::from_str(&shell(home.path(), &command)).unwrap();
        assert_eq!(echo["method"], "GET", "{command}");
    }
    // As the first thing that ever happened in this home.
    find("certutil", "libnss3-tools").unwrap();
    shell(home.path(), &row("Chromium"));
    let listed = shell(home.path(), "certutil -d sql:$HOME/.pki/nssdb -L -n irp -a");
    let ca = fs::read_to_string(ca_path(home.path())).unwrap();
    assert_eq!(listed.replace(char::is_whitespace, ""), ca.replace(char::is_whitespace, ""));
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn a_real_edge() {
    let home = TempDir::new().unwrap();
    let keygen = command("irp keygen");
    let made = irp(home.path(), &arguments(&keygen)).arg("--json").output().unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();

    let placeholder = "ssh-ed25519 AAAA… alice@laptop";
    let toml = blocks("toml").remove(0);
    assert!(toml.contains(placeholder), "{toml}");
    let toml = toml.replace(placeholder, made["public"].as_str().unwrap());
    fs::write(home.path().join("edge.toml"), &toml).unwrap();
    assert!(README.contains("`irp edge --config edge.toml`"));
    let checked = irp(home.path(), &["edge", "--config", "edge.toml", "--check"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    // The same without the Internet: a free port, this machine's own authority, a name of this machine.
    let acme = "[acme]\nchallenge = \"tls-alpn-01\"\n";
    assert!(toml.contains(acme), "{toml}");
    let toml =
        toml.replace(acme, "[certificate]\nmode = \"local\"\n").replace("proxy.example.com", "localhost");
    let state = home.path().join("edge");
    let toml = format!("listen = [\"127.0.0.1:0\"]\nstate_dir = {state:?}\n{toml}");
    fs::write(home.path().join("edge.toml"), toml).unwrap();
    let edge = irp(home.path(), &["edge", "--config", "edge.toml", "--json"]);
    let mut edge = Running::start(edge, home.path().join("edge.log"));
    let address = edge.event("listening")["addresses"][0].as_str().unwrap().to_owned();
    let port = address.rsplit(':').next().unwrap();

    let connect =
        command("irp connect ").replace("alice.proxy.example.com", &format!("alice.localhost:{port}"));
    let mut client = irp(home.path(), &arguments(&connect));
    client.args(["--json", "--connect-to", &address, "--cacert", &ca_path(home.path())]);
    let mut client = Running::start(client, home.path().join("client.log"));
    client.event("connected");
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    edge.interrupt();
    assert_eq!(edge.end().code(), Some(0));
}
