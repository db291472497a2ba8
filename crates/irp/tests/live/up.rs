//! `irp up --local`, called as a person calls it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    sync::Arc,
};

use futures_util::{SinkExt as _, StreamExt as _};
use irp_testkit::visitor::Door;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

use crate::program::{Running, ca_path, curl, free_port, irp};

/// `irp up --local` at a free port, ready for visitors of `alice.localhost`; without a port of an upstream, with
/// the echo application.
pub(crate) fn up_local(home: &Path, upstream: Option<u16>) -> (Running, u16) {
    let port = free_port();
    let mut command = irp(home, &["up", "--local", "--json", "--port", &port.to_string()]);
    command.args(upstream.map(|port| port.to_string()));
    let mut up = Running::start(command, home.join("up.log"));
    assert_eq!(up.event("url")["url"], format!("https://alice.localhost:{port}"));
    (up, port)
}

#[test]
fn up_local_serves_the_echo_application_under_every_local_name() {
    let home = TempDir::new().unwrap();
    let (mut up, port) = up_local(home.path(), None);
    let ca = ca_path(home.path());
    let (host, url) = (format!("alice.localhost:{port}"), format!("https://alice.localhost:{port}/a?b=c"));
    let echo = curl(&ca, &["--resolve", &format!("{host}:127.0.0.1"), &url, "-d", "hello"]);
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

#[tokio::test(flavor = "multi_thread")]
async fn the_echo_application_sends_the_messages_of_a_websocket_back() {
    let home = TempDir::new().unwrap();
    let (up, port) = up_local(home.path(), None);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_path(home.path())).unwrap()).unwrap();
    let door = Door::tls(([127, 0, 0, 1], port).into(), "alice.localhost", Arc::new(roots));
    let (mut socket, answer) = door.websocket("/socket", &[]).await.unwrap();
    assert_eq!(answer.status(), 101);
    for message in [Message::text("hello"), Message::binary(vec![7; 100_000]), Message::text("")] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        assert!(message.is_close(), "{message:?}");
    }
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn the_first_signal_lets_a_request_finish() {
    lets_a_request_finish(Running::interrupt);
    lets_a_request_finish(Running::terminate);
}

fn lets_a_request_finish(signal: impl FnOnce(&Running)) {
    let home = TempDir::new().unwrap();
    let upstream = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (mut up, port) = up_local(home.path(), Some(upstream.local_addr().unwrap().port()));
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
    signal(&up);
    up.event("stopping");
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nslow").unwrap();
    assert_eq!(visitor.join().unwrap(), "slow");
    assert_eq!(up.end().code(), Some(0));
}

#[test]
fn detached_it_stays_in_the_background_until_it_is_disconnected() {
    let home = TempDir::new().unwrap();
    let port = free_port().to_string();
    let arguments = ["up", "--local", "--detach", "--port", &port];
    let url = format!("https://alice.localhost:{port}\n");
    let mut pids = Vec::new();
    for json in [false, true] {
        let mut arguments = arguments.to_vec();
        arguments.extend(json.then_some("--json"));
        let output = irp(home.path(), &arguments).output().unwrap();
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{err}");
        if json {
            let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let detached = events.iter().find(|event| event["event"] == "detached").unwrap();
            assert_eq!(detached["urls"][0], *url.trim_end());
            pids.push(detached["pid"].as_u64().unwrap());
        } else {
            assert_eq!(out, url, "{err}");
            assert!(err.contains("irp disconnect alice.localhost"), "{err}");
        }
    }
    let ca = ca_path(home.path());
    let page = format!("https://127.0.0.1:{port}/");
    assert!(curl(&ca, &[&page]).contains("method"));

    // Another upstream is not what is there.
    let output = irp(home.path(), &["up", "--local", "--detach", "3999"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("irp disconnect alice.localhost"));

    let output = irp(home.path(), &["--json", "disconnect"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["event"], &told["pid"]), (&"disconnected".into(), &pids[0].into()));
    // Its port is free again: the process is gone, or nearly.
    assert!(std::net::TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap())).is_err());
}

#[test]
fn a_failure_in_the_background_is_told_in_front() {
    let home = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = irp(home.path(), &["up", "--local", "--detach", "--port", &port]).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    let in_front = irp(home.path(), &["up", "--local", "--port", &port]).output().unwrap();
    assert_eq!((output.status.code(), in_front.status.success()), (in_front.status.code(), false), "{err}");
    assert!(err.contains("error: ") && err.contains(&port), "{err}");
    assert!(output.stdout.is_empty());
}
