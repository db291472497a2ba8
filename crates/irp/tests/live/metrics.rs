//! The page of metrics, as a program that collects them reads it.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use irp_testkit::process::find;
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{WITHIN, ca_path, irp},
};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// What is at `http://ADDRESS/PATH`, with its status.
pub(crate) fn get(address: std::net::SocketAddr, path: &str) -> (String, String) {
    let output = Command::new(find("curl", "curl").unwrap())
        .args(["-sS", "--max-time", "30", "--noproxy", "*", "-w", "\n%{http_code}"])
        .arg(format!("http://{address}{path}"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (page, status) = text.rsplit_once('\n').unwrap();
    (page.to_owned(), status.to_owned())
}

#[test]
fn metrics_tell_what_happened_and_no_secret() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("slack"), SECRET).unwrap();
    fs::write(home.path().join("acme"), "hush-hush").unwrap();
    let host = "[[host]]\nname = \"alice.localhost\"\n\
        [[host.verify]]\nprovider = \"slack\"\nsecret_file = \"slack\"\n\
        [[host.verify]]\nprovider = \"chosen-by-somebody\"\npath = \"/acme\"\nsecret_file = \"acme\"\n\
        row = { signature = \"x-acme-signature\" }\n";
    let key = key_table(&keygen(home.path()), &["alice.localhost"]);
    let edge = Edge::start(home.path(), &format!("metrics_listen = \"127.0.0.1:0\"\n{LOCAL}{key}{host}"));
    let metrics = edge.metrics.unwrap();
    let url = format!("https://{}", edge.host("alice.localhost"));
    let sign = |secret: &str, path: &str, event: &str| {
        let to = format!("{url}{path}");
        let mut command = irp(home.path(), &["sign", "slack", "--to", &to, "--event", event]);
        command.env("SLACK_SIGNING_SECRET", secret).output().unwrap()
    };
    assert!(sign(SECRET, "/slack/events", "url_verification").status.success());
    assert!(!sign("another", "/slack/events", "app_mention").status.success());
    assert!(!sign(SECRET, "/acme", "app_mention").status.success());
    let ca = ca_path(home.path());
    assert_eq!(edge.status(&ca, "alice.localhost"), Some(404));

    let expected = [
        "irp_requests_total{class=\"2xx\"} 1",
        "irp_requests_total{class=\"4xx\"} 3",
        "irp_webhook_handshakes_total{provider=\"slack\"} 1",
        "irp_webhook_failures_total{provider=\"slack\",reason=\"mismatch\"} 1",
        "irp_webhook_failures_total{provider=\"custom\",reason=\"missing\"} 1",
        "irp_tunnels 0",
        "irp_requests_in_flight 0",
        "irp_holds_total 0",
        "irp_held_requests 0",
    ];
    // A request is counted when the last of it is gone, which may be after the visitor has it.
    let deadline = Instant::now() + WITHIN;
    let page = loop {
        let (page, status) = get(metrics, "/metrics");
        assert_eq!(status, "200");
        if expected.iter().all(|line| page.lines().any(|found| found == *line)) {
            break page;
        }
        assert!(Instant::now() < deadline, "{expected:#?} in {page}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let number = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
    };
    assert!(number("irp_visitor_bytes_total{direction=\"in\"}") > 100.0);
    assert!(number("irp_visitor_bytes_total{direction=\"out\"}") > 100.0);
    assert!(number("irp_budget_limit_bytes") > 0.0);
    assert!(number("irp_certificate_ends_seconds{name=\"alice.localhost\"}") > 1_700_000_000.0);
    assert!(page.ends_with("# EOF\n"), "{page}");
    for hidden in [SECRET, "hush", "chosen-by-somebody"] {
        assert!(!page.contains(hidden), "{page}");
    }
    assert_eq!(get(metrics, "/").1, "404");
    edge.stop();
}
