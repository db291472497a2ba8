//! `--verify` and `irp sign`, called as a person calls them.

use std::{fs, path::Path, process::Output};

use irp_testkit::origin::Bot;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, curl, free_port, irp},
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

/// `irp up --local` before the built-in application, and the URL without its last slash.
fn up(home: &Path, arguments: &[&str]) -> (Running, String) {
    let port = free_port().to_string();
    let all = [&["up", "--local", "--json", "--port", &port], arguments].concat();
    let mut running = Running::start(irp(home, &all), home.join("up.log"));
    let url = running.event("url")["url"].as_str().unwrap().trim_end_matches('/').to_owned();
    (running, url)
}

#[test]
fn a_signing_secret_in_env_alone_switches_slack_on() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join(".env"), format!("HOST_NAME=alice\nSLACK_SIGNING_SECRET={SECRET}\n")).unwrap();
    let ca = ca_path(home.path());
    let status = |url: &str, arguments: &[&str]| {
        let all = [&["-o", "/dev/null", "-w", "%{http_code}", url], arguments].concat();
        curl(&ca, &all)
    };
    let port = free_port().to_string();
    let arguments = ["up", "--local", "--json", "--port", &port, "--open", "/health"];
    let mut running = Running::start(irp(home.path(), &arguments), home.path().join("up.log"));
    let told = running.event("verifying");
    assert_eq!((&told["provider"], &told["place"]), (&Value::from("slack"), &Value::from(".env")), "{told}");
    let url = running.event("url")["url"].as_str().unwrap().trim_end_matches('/').to_owned();
    let events = format!("{url}/slack/events");

    // irp sign finds the secret in the same file.
    let mention = irp(home.path(), &["sign", "slack", "--to", &events]).output().unwrap();
    assert!(mention.status.success(), "{}", text(&mention.stderr));
    let echoed: Value = serde_json::from_slice(&mention.stdout).unwrap();
    assert_eq!(echoed["headers"]["irp-verified"], "slack", "{echoed}");
    assert_eq!(status(&events, &["-d", "{}"]), "401");
    for open in ["/slack/install", "/slack/oauth_redirect?code=1", "/health"] {
        let page = curl(&ca, &["-H", "accept: application/json", &format!("{url}{open}")]);
        let echoed: Value = serde_json::from_str(&page).unwrap();
        assert_eq!(echoed["headers"]["irp-verified"], Value::Null, "{open} {page}");
    }
    assert_eq!(status(&format!("{url}/"), &[]), "404");
    running.interrupt();
    assert_eq!(running.end().code(), Some(0));

    let (open, url) = up(home.path(), &["--no-verify"]);
    assert_eq!(status(&format!("{url}/slack/events"), &["-d", "{}"]), "200");
    open.interrupt();
    assert_eq!(open.end().code(), Some(0));

    // Where the secret is kept elsewhere, the edge there has it.
    fs::write(home.path().join(".env"), "SLACK_SIGNING_SECRET=ssm:/irp/secret/alice/slack\n").unwrap();
    let (open, url) = up(home.path(), &[]);
    assert_eq!(status(&format!("{url}/slack/events"), &["-d", "{}"]), "200");
    open.interrupt();
    assert_eq!(open.end().code(), Some(0));
    let output = irp(home.path(), &["up", "--local", "--verify", "slack"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("SLACK_SIGNING_SECRET (.env) says where the secret is"));
    let output = irp(home.path(), &["up", "--local", "--open", "/health"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--open goes with --verify"), "{}", text(&output.stderr));
}

#[test]
fn a_sender_that_irp_toml_describes_is_verified_and_signed_for() {
    let home = TempDir::new().unwrap();
    let table = "[[webhook]]\nprovider = \"acme\"\npath = \"/hooks/acme\"\n[webhook.row]\n\
        signature = \"x-acme-signature\"\nformat = \"prefix:sha256=\"\ntemplate = \"{ts}.{body}\"\n\
        timestamp = \"header:x-acme-timestamp:s\"\n";
    fs::write(home.path().join("irp.toml"), table).unwrap();
    fs::write(home.path().join(".env"), "ACME_WEBHOOK_SECRET=hush-hush\n").unwrap();
    let (mut up, url) = up(home.path(), &["--verify", "acme"]);
    let to = format!("{url}/hooks/acme");
    let sent = irp(home.path(), &["sign", "acme", "--to", &to]).output().unwrap();
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let echoed: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(echoed["headers"]["irp-verified"], "acme", "{echoed}");
    assert!(up.event("request")["remark"].as_str().unwrap().starts_with("acme ✓"));
    let stopped = sign(home.path(), ("ACME_WEBHOOK_SECRET", "another"), &["acme", "--to", &to]);
    assert!(text(&stopped.stderr).contains("401"), "{}", text(&stopped.stderr));
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));

    let said = |toml: &str, name: &str| {
        fs::write(home.path().join("irp.toml"), toml).unwrap();
        let output = irp(home.path(), &["up", "--local", "--verify", name]).output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        text(&output.stderr)
    };
    let told = said(&table.replace("template", "tmplate"), "acme");
    assert!(told.contains("irp.toml:7:1: unknown key `tmplate`"), "{told}");
    assert!(told.contains("did you mean `template`?"), "{told}");
    let told = said(&table.replace("prefix:sha256=", "suffix"), "acme");
    assert!(told.contains("[[webhook]] acme of irp.toml is of no use"), "{told}");
    assert!(told.contains("format \"suffix\" does not read"), "{told}");
    let told = said(table, "acmee");
    assert!(told.contains("did you mean acme?"), "{told}");
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

#[test]
fn a_path_of_ones_own_takes_the_place_of_the_usual_one() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join(".env"), format!("SLACK_SIGNING_SECRET={SECRET}\n")).unwrap();
    let (mut up, url) = up(home.path(), &["--verify", "slack", "--path", "/hooks/in"]);
    let own = ("SLACK_SIGNING_SECRET", SECRET);
    for path in ["/hooks/in", "/hooks/in/deeper?x=1"] {
        let sent = sign(home.path(), own, &["slack", "--to", &format!("{url}{path}")]);
        assert!(sent.status.success(), "{path}: {}", text(&sent.stderr));
        let echoed: Value = serde_json::from_slice(&sent.stdout).unwrap();
        assert_eq!((&echoed["path"], &echoed["headers"]["irp-verified"]), (&path.into(), &"slack".into()));
        assert!(up.event("request")["remark"].as_str().unwrap().starts_with("slack ✓"));
    }
    // Neither the usual path nor one that only begins alike is open any more.
    for path in ["/slack/events", "/hooks/inside"] {
        let closed = sign(home.path(), own, &["slack", "--to", &format!("{url}{path}")]);
        assert!(
            !closed.status.success() && text(&closed.stderr).contains("404"),
            "{path}: {}",
            text(&closed.stderr)
        );
    }
    let stopped =
        sign(home.path(), ("SLACK_SIGNING_SECRET", "x"), &["slack", "--to", &format!("{url}/hooks/in")]);
    assert!(text(&stopped.stderr).contains("401"), "{}", text(&stopped.stderr));
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn handshakes_are_left_to_the_program_where_a_client_or_the_host_says_so() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join(".env"), format!("SLACK_SIGNING_SECRET={SECRET}\n")).unwrap();
    let own = ("SLACK_SIGNING_SECRET", SECRET);
    let register = |url: &str, secret: &str| {
        let to = format!("{url}/slack/events");
        sign(home.path(), (own.0, secret), &["slack", "--to", &to, "--event", "url_verification"])
    };
    let (mut up, url) = up(home.path(), &["--verify", "slack", "--pass-handshakes"]);
    let sent = register(&url, SECRET);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    // The echo application, and not the edge, has answered.
    let echoed: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(echoed["headers"]["irp-verified"], "slack", "{echoed}");
    let remark = up.event("request")["remark"].as_str().unwrap().to_owned();
    assert!(remark.starts_with("slack ✓ url_verification · "), "{remark}");
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));

    // Of two hosts of one edge, one leaves them to its program.
    fs::write(home.path().join("slack"), SECRET).unwrap();
    let host = |name: &str, more: &str| {
        format!(
            "[[host]]\nname = \"{name}\"\n[[host.verify]]\nprovider = \"slack\"\nsecret_file = \"slack\"\n{more}"
        )
    };
    let hosts = host("alice.localhost", "handshakes = false\n") + &host("bob.localhost", "");
    let key = key_table(&keygen(home.path()), &["alice.localhost", "bob.localhost"]);
    let edge = Edge::start(home.path(), &format!("{LOCAL}{key}{hosts}[limits]\nhold = \"1ms\"\n"));
    let (alice, bob) = (
        format!("https://{}", edge.host("alice.localhost")),
        format!("https://{}", edge.host("bob.localhost")),
    );
    // No client was ever here: the edge registers the one, and cannot speak for the other. It keeps no question.
    assert!(register(&bob, SECRET).status.success());
    assert!(text(&register(&alice, SECRET).stderr).contains("503"));
    assert!(text(&register(&alice, "x").stderr).contains("401"));
    let bot = Bot::start();
    let (at, address, ca) = (edge.host("alice.localhost"), edge.address.to_string(), ca_path(home.path()));
    let upstream = bot.address().port().to_string();
    let arguments =
        ["--json", "connect", &at, &upstream, "--connect-to", &address, "--cacert", &ca, "--no-verify"];
    let mut client = Running::start(irp(home.path(), &arguments), home.path().join("client.log"));
    client.event("connected");
    register(&alice, SECRET);
    assert_eq!(bot.count(), 1);
    assert!(bot.taken()[0].text().contains("url_verification"));
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    edge.stop();
}
