//! A browser opens the URL of `irp up --local`, with the authority trusted as the README says.

use std::{fs, net::SocketAddr, path::Path, process::Command, sync::Arc};

use irp_testkit::{origin::Origin, process::find};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::program::{Running, WITHIN, ca_path, free_port, irp};

/// What is in [`PAGE`] and in no page of the browser's own.
const TITLE: &str = "A program of one's own";

/// Writes what it gets through a WebSocket and an event stream into the document. The picture `/hold` arrives only
/// after `/done` was asked for, and a browser tells its document no earlier than that.
const PAGE: &str = r#"<!DOCTYPE html>
<title>A program of one's own</title>
<pre id=got></pre>
<img src="/hold">
<script>
const open = new Set(["socket", "events"]);
function got(line) { document.getElementById("got").textContent += line + "\n"; }
function done(what) { if (open.delete(what) && open.size == 0) fetch("/done"); }
const socket = new WebSocket("wss://" + location.host + "/ws");
socket.onopen = () => socket.send("said through a socket");
socket.onmessage = message => { got("socket: " + message.data); socket.close(); done("socket"); };
socket.onerror = () => { got("trouble with the socket"); done("socket"); };
const events = new EventSource("/sse?count=3");
events.onmessage = event => {
    got("event: " + event.data);
    if (event.data == "2") { events.close(); done("events"); }
};
events.onerror = () => { got("trouble with the events"); events.close(); done("events"); };
</script>
"#;

/// Serves [`PAGE`]; every other request goes to `origin`. One request a connection. Ends with the test's runtime.
async fn page_before(origin: SocketAddr) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let done = Arc::new(Notify::new());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                // A browser may leave whenever it likes.
                let _ = answer(stream, origin, &done).await;
            });
        }
    });
    port
}

async fn answer(stream: TcpStream, origin: SocketAddr, done: &Notify) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let body = match head.split(' ').nth(1) {
        Some("/") => PAGE,
        Some("/done") => {
            done.notify_one();
            ""
        }
        Some("/hold") => {
            // Without the browser's word, the test fails by what the document lacks.
            let _ = tokio::time::timeout(WITHIN, done.notified()).await;
            ""
        }
        path => {
            if path != Some("/ws") {
                // The next request of this connection might be one of the above.
                head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            }
            let mut origin = TcpStream::connect(origin).await?;
            origin.write_all(head.as_bytes()).await?;
            return copy_bidirectional(&mut stream, &mut origin).await.map(drop);
        }
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// The document as Chromium has it in the end, and what else it says.
async fn document(home: &Path, url: &str) -> (String, String) {
    let mut chromium = Command::new(find("chromium", "chromium").unwrap());
    chromium
        .env("HOME", home)
        // Root has no sandbox, and a container no GPU; the rest keeps it from calling home.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--no-proxy-server", "--dump-dom"])
        .arg(format!("--user-data-dir={}", home.join("chromium").display()))
        .arg(url);
    let output = tokio::task::spawn_blocking(move || chromium.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Does what the table in the README tells for Chromium on Linux.
fn trust(home: &Path, ca: &str) {
    let database = home.join(".pki/nssdb");
    fs::create_dir_all(&database).unwrap();
    let database = format!("sql:{}", database.display());
    let certutil = find("certutil", "libnss3-tools").unwrap();
    let arguments = ["-d", &database, "-A", "-t", "C,,", "-n", "irp", "-i", ca];
    let output = Command::new(certutil).env("HOME", home).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_shows_the_page_with_its_web_socket_and_its_events() {
    let home = TempDir::new().unwrap();
    let origin = Origin::start();
    let upstream = page_before(origin.address()).await.to_string();
    let port = free_port().to_string();
    let arguments = ["up", "--local", &upstream, "--json", "--port", &port];
    let mut up = Running::start(irp(home.path(), &arguments), home.path().join("up.log"));
    let url = up.event("url")["url"].as_str().unwrap().to_owned();

    let (document_of_stranger, said) = document(home.path(), &url).await;
    assert!(said.contains("ERR_CERT_AUTHORITY_INVALID"), "nobody trusts this authority yet: {said}");
    assert!(!document_of_stranger.contains(TITLE), "{document_of_stranger}");

    trust(home.path(), &ca_path(home.path()));
    for url in [url, format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}")] {
        let (document, said) = document(home.path(), &url).await;
        for line in [TITLE, "socket: said through a socket\n", "event: 0\n", "event: 1\n", "event: 2\n"] {
            assert!(document.contains(line), "{url} has no {line:?}: {document}\n{said}");
        }
        let shown = document.split("</pre>").next().unwrap();
        assert!(!shown.contains("trouble"), "{url}: {shown}");
    }
    up.interrupt();
    assert_eq!(up.end().code(), Some(0));
}
