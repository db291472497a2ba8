//! Webhooks as the providers' own libraries sign and verify them, and a real bot of Slack's own framework.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, ca_path, curl, free_port, irp};

/// A secret of each form, under the name that irp reads.
const SECRETS: &[(&str, &str)] = &[
    ("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_test_secret"),
    ("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("SVIX_WEBHOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    ("TWILIO_AUTH_TOKEN", "12345"),
    ("LINE_CHANNEL_SECRET", "channel_secret"),
    // Of the private key whose bytes are 0 to 31.
    ("DISCORD_PUBLIC_KEY", "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"),
];

fn test_file(name: &str) -> String {
    format!("{}/tests/live/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn signers(arguments: &[&str]) -> Command {
    let mut command = irp_testkit::python::script(Path::new(&test_file("signers.py"))).unwrap();
    command.args(arguments).envs(SECRETS.iter().copied());
    command
}

/// `irp up --local` before `upstream`, or before the built-in application.
fn up(home: &Path, upstream: Option<&str>, verify: &[&str]) -> (Running, String) {
    let port = free_port().to_string();
    let mut arguments = vec!["up", "--local", "--json", "--port", &port];
    arguments.extend(upstream);
    for provider in verify {
        arguments.extend(["--verify", provider]);
    }
    let mut command = irp(home, &arguments);
    command.envs(SECRETS.iter().copied());
    let mut running = Running::start(command, home.join("up.log"));
    let url = running.event("url")["url"].as_str().unwrap().to_owned();
    (running, url.trim_end_matches('/').to_owned())
}

#[test]
fn what_the_providers_libraries_sign_passes_and_one_byte_more_does_not() {
    let home = TempDir::new().unwrap();
    let verify = [
        "slack",
        "stripe=/stripe",
        "standard-webhooks=/standard",
        "svix=/svix",
        "twilio=/twilio",
        "line=/line",
        "discord=/discord",
    ];
    let (up, url) = up(home.path(), None, &verify);
    let ca = ca_path(home.path());
    let output = signers(&["sign", &url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let requests: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let providers: std::collections::BTreeSet<_> =
        requests.iter().map(|request| request["provider"].as_str().unwrap()).collect();
    assert_eq!(providers.len(), verify.len(), "{providers:?}");

    let body_file = home.path().join("body");
    for request in &requests {
        let provider = request["provider"].as_str().unwrap();
        let body = request["body"].as_str().unwrap();
        let to = format!("{url}{}", request["path"].as_str().unwrap());
        let data = format!("@{}", body_file.display());
        let mut arguments = vec!["--data-binary", &data, "-w", "\n%{http_code}"];
        let headers: Vec<String> = request["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap()))
            .chain([String::from("accept: application/json")])
            .collect();
        arguments.extend(headers.iter().flat_map(|header| ["-H", header]));
        arguments.push(&to);
        // The forged one first: the same signing twice would be a replay.
        fs::write(&body_file, format!("{body} ")).unwrap();
        assert_eq!(curl(&ca, &arguments), "\n401", "{request}");
        fs::write(&body_file, body).unwrap();
        let answer = curl(&ca, &arguments);
        let (echo, status) = answer.rsplit_once('\n').unwrap();
        assert_eq!(status, "200", "{request} {echo}");
        let echo: Value = serde_json::from_str(echo).unwrap();
        assert_eq!(echo["headers"]["irp-verified"], provider);
        assert_eq!(echo["body_bytes"], body.len());
    }
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn what_irp_signs_is_accepted_by_the_providers_libraries() {
    let home = TempDir::new().unwrap();
    let mut server = Running::start(signers(&["serve"]), home.path().join("signers.log"));
    let port = server.event("ready")["port"].to_string();
    for provider in ["slack", "stripe", "standard-webhooks", "svix", "twilio", "line"] {
        let to = format!("http://127.0.0.1:{port}/{provider}");
        let output = irp(home.path(), &["sign", provider, "--to", &to])
            .envs(SECRETS.iter().copied())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{provider}: {told}{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(output.stdout.trim_ascii(), b"accepted", "{provider}");
    }
    // The libraries do look.
    let to = format!("http://127.0.0.1:{port}/slack");
    let mut wrong = irp(home.path(), &["sign", "slack", "--to", &to]);
    assert!(!wrong.env("SLACK_SIGNING_SECRET", "wrong").output().unwrap().status.success());
}

#[test]
fn a_bolt_app_gets_events_commands_and_interactions() {
    let home = TempDir::new().unwrap();
    let mut command = irp_testkit::node::script(Path::new(&test_file("bolt.js"))).unwrap();
    command.envs(SECRETS.iter().copied());
    let mut bot = Running::start(command, home.path().join("bolt.log"));
    let port = bot.event("ready")["port"].to_string();
    let (up, url) = up(home.path(), Some(&port), &["slack"]);
    let events = format!("{url}/slack/events");
    let send = |event: &str| {
        let mut command = irp(home.path(), &["sign", "slack", "--to", &events, "--event", event]);
        let output = command.envs(SECRETS.iter().copied()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{event}: {told}{}", bot.log());
        String::from_utf8(output.stdout.trim_ascii().to_vec()).unwrap()
    };
    assert!(send("url_verification").starts_with("irp"));
    assert_eq!(send("app_mention"), "");
    let command: Value = serde_json::from_str(&send("/deploy")).unwrap();
    assert_eq!(command["text"], "deploying a sample of irp");
    assert_eq!(send("block_actions"), "");
    let view: Value = serde_json::from_str(&send("view_submission")).unwrap();
    assert_eq!(view["errors"]["irp"], "not today");
    assert_eq!(send("shortcut"), "");
    assert_eq!(send("message_action"), "");
    assert_eq!(send("block_suggestion"), r#"{"options":[]}"#);

    assert_eq!(bot.event("app_mention")["text"], "<@U0000000001> a sample of irp");
    bot.event("command");
    assert_eq!(bot.event("action")["value"], "sample");
    bot.event("view");
    assert_eq!(bot.event("shortcut")["type"], "shortcut");
    assert_eq!(bot.event("shortcut")["type"], "message_action");
    bot.event("options");
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}
