//! `irp edge` and `irp connect`: two programs and a visitor.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, ca_path, curl, free_port, irp};

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
