//! The origin keeps its word: a benchmark against a wrong upstream would measure nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

struct Origin {
    child: Child,
    port: u16,
}

impl Origin {
    fn start() -> Self {
        let mut child =
            Command::new(env!("CARGO_BIN_EXE_bench-origin")).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { port: line.trim().parse().unwrap(), child }
    }

    /// Sends `request` and reads until the origin closes.
    fn exchange(&self, request: &str) -> String {
        let mut stream = self.send(request);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: origin\r\nconnection: close\r\n\r\n")
}

#[test]
fn the_root_is_five_bytes_of_known_length() {
    let answer = Origin::start().exchange(&get("/"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[test]
fn a_long_body_has_exactly_the_bytes_asked_for() {
    let origin = Origin::start();
    for count in [0, 1, 64 * 1024, 1_000_001] {
        let answer = origin.exchange(&get(&format!("/bytes/{count}")));
        assert!(answer.contains(&format!("\r\ncontent-length: {count}\r\n")), "{count}");
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), count);
    }
    assert!(origin.exchange(&get("/bytes/many")).starts_with("HTTP/1.1 400 "));
    assert!(origin.exchange(&get("/nothing")).starts_with("HTTP/1.1 404 "));
}

#[test]
fn an_upload_is_counted() {
    let body = "x".repeat(200_000);
    let answer = Origin::start().exchange(&format!(
        "PUT /upload HTTP/1.1\r\nhost: origin\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(answer.ends_with("\r\n\r\n200000"), "{answer}");
}

#[test]
fn a_websocket_echoes() {
    let origin = Origin::start();
    let mut stream = origin.send(
        "GET /ws HTTP/1.1\r\nhost: origin\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // The answer to the key of RFC 6455, section 1.3.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    // A text frame of one byte, masked with zeros.
    stream.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'a']).unwrap();
    let mut echo = [0; 3];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(echo, [0x81, 1, b'a']);
}
