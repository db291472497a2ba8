//! `--verify` and `irp sign`, called as a person calls them.

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, free_port, irp},
};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// Runs `irp sign` with this secret in the environment.
fn sign(home: &Path, secret: (&str, &str), arguments: &[&str]) -> Output {
    let mut command = irp(home, &["sign"]);
    command.args(arguments).env(secret.0, secret.1);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_slack_app_can_be_registered_and_tried_without_slack() {
    let home = TempDir::new().unwrap();
    let port = free_port();
    let arguments = ["up", "--local", "--json", "--port", &port.to_string(), "--verify", "slack"];
    let mut command = irp(home.path(), &arguments);
    command.env("SLACK_SIGNING_SECRET", SECRET);
    let mut up = Running::start(command, home.path().join("up.log"));
    let url = up.event("url")["url"].as_str().unwrap().to_owned();
    let events = format!("{url}/slack/events");
    let own = ("SLACK_SIGNING_SECRET", SECRET);

    let verified =
        sign(home.path(), own, &["slack", "--to", &events, "--event", "url_verification", "--json"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let answer: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(answer["body"].as_str().unwrap().starts_with("irp"), "{answer}");
    let told = up.event("request");
    assert_eq!(told["remark"], "slack ✓ url_verification (answered at the edge)");

    let mention = sign(home.path(), own, &["slack", "--to", &events]);
    assert!(mention.status.success(), "{}", text(&mention.stderr));
    assert!(
        text(&mention.stderr).contains("slack event_callback app_mention → 200 OK"),
        "{}",
        text(&mention.stderr)
    );
    // The built-in application answers with what it got.
    let echoed: Value = serde_json::from_slice(&mention.stdout).unwrap();
    assert_eq!(echoed["path"], "/slack/events");
    assert_eq!(echoed["headers"]["irp-verified"], "slack", "{echoed}");
    let told = up.event("request")["remark"].as_str().unwrap().to_owned();
    assert!(told.starts_with("slack ✓ event_callback app_mention · 0."), "{told}");

    let stranger =
        sign(home.path(), ("OTHER", "another secret"), &["slack", "--to", &events, "--secret-env", "OTHER"]);
    assert_eq!(stranger.status.code(), Some(5), "{}", text(&stranger.stderr));
    assert!(stranger.stdout.is_empty());
    let told = up.event("request");
    assert_eq!(told["remark"], "slack ✗ signature does not match: wrong secret? (stopped at the edge)");
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn an_edge_has_policies_of_its_own_and_of_providers_that_nobody_knows() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("slack"), format!("older-secret\n{SECRET}\n")).unwrap();
    fs::write(home.path().join("acme"), "hush-hush\n").unwrap();
    let host = "[[host]]\nname = \"alice.localhost\"\nopen = [\"/health\"]\n\
        [[host.verify]]\nprovider = \"slack\"\nsecret_file = \"slack\"\n\
        [[host.verify]]\nprovider = \"acme\"\npath = \"/acme\"\nsecret_file = \"acme\"\nmode = \"report\"\n\
        row = { signature = \"x-acme-signature\", format = \"prefix:sha256=\" }\n";
    let key = key_table(&keygen(home.path()), &["alice.localhost"]);
    let edge = Edge::start(home.path(), &format!("{LOCAL}{key}{host}"));
    let url = format!("https://{}", edge.host("alice.localhost"));
    // No client was ever here.
    let to = format!("{url}/slack/events");
    let own = ("SLACK_SIGNING_SECRET", SECRET);
    let verified = sign(home.path(), own, &["slack", "--to", &to, "--event", "url_verification"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let stopped = sign(home.path(), ("SLACK_SIGNING_SECRET", "x"), &["slack", "--to", &to]);
    assert!(text(&stopped.stderr).contains("401"), "{}", text(&stopped.stderr));
    let closed = sign(home.path(), own, &["slack", "--to", &format!("{url}/elsewhere")]);
    assert!(text(&closed.stderr).contains("404"), "{}", text(&closed.stderr));
    edge.stop();
}

#[test]
fn what_cannot_be_verified_is_told_at_once() {
    let home = TempDir::new().unwrap();
    let said = |arguments: &[&str]| {
        let output = irp(home.path(), arguments).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, told) = said(&["up", "--local", "--verify", "slack"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("there is no secret for Slack: SLACK_SIGNING_SECRET is not set"), "{told}");
    let (code, told) = said(&["up", "--local", "--verify", "slak"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("did you mean slack?"), "{told}");
    let (code, told) = said(&["up", "--local", "--verify", "slack", "--verify", "github", "--path", "/x"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("--verify slack=/slack"), "{told}");
    let (code, told) = said(&["sign", "discord", "--to", "http://localhost:1/"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("Discord signs with a private key"), "{told}");
}
