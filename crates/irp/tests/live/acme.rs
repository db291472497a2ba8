//! `edge.toml` that names an ACME directory: a real authority, pebble, issues the certificate.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};

use irp_testkit::{
    acme::{Pebble, PebbleOptions},
    dns::{Responder, kind},
    origin::Origin,
    patience::eventually_blocking,
    process::find,
};
use tempfile::TempDir;

use crate::{
    edge::{Edge, key_table, keygen},
    program::{Running, curl, free_port, irp},
};

/// The file of the root that signs what pebble issues, which is another at each start of pebble.
pub(crate) fn issuing_root(pebble: &Pebble, home: &Path) -> String {
    let url = format!("https://localhost:{}/roots/0", pebble.management().port());
    // Its management interface shows a certificate that nobody can know.
    let pem = curl(pebble.root_pem.to_str().unwrap(), &["--noproxy", "*", "-k", &url]);
    let file = home.join("issuing-root.pem");
    fs::write(&file, pem).unwrap();
    file.to_str().unwrap().to_owned()
}

/// An authority that finds a name at this machine, and how an edge of that name is configured.
pub(crate) struct Issuing {
    pub(crate) pebble: Pebble,
    /// `[acme]` and `[[key]]`, with a key that is made for it.
    pub(crate) tables: String,
    _dns: Responder,
}

impl Issuing {
    /// The authority finds `name` at `address`, and proves it by `challenge` at one of the ports of `options`.
    pub(crate) async fn start(
        home: &Path,
        name: &str,
        address: IpAddr,
        challenge: &str,
        options: PebbleOptions,
    ) -> Self {
        let dns = Responder::start().await.unwrap();
        dns.add_address(name, address);
        let options = PebbleOptions { dns: Some(dns.address()), ..options };
        let pebble = Pebble::start(home, &options).unwrap();
        let tables = acme_tables(&pebble, challenge) + &key_table(&keygen(home), &[name]);
        Self { pebble, tables, _dns: dns }
    }

    /// The same by tls-alpn-01 at this port of an edge.
    pub(crate) async fn for_tls(home: &Path, name: &str, at: SocketAddr) -> Self {
        let options = PebbleOptions { tls_port: Some(at.port()), ..PebbleOptions::default() };
        Self::start(home, name, at.ip(), "tls-alpn-01", options).await
    }
}

fn acme_tables(pebble: &Pebble, challenge: &str) -> String {
    let (directory, roots) = (&pebble.directory_url, &pebble.root_pem);
    format!("[acme]\ndirectory = {directory:?}\nroots = {roots:?}\nchallenge = {challenge:?}\n")
}

/// The edge gets its certificate, serves a client with it, and has it still after a restart.
fn order_serve_restart(home: &Path, pebble: &Pebble, name: &str, start: impl Fn() -> Edge) {
    let edge = start();
    let root = issuing_root(pebble, home);
    eventually_blocking("the certificate is there", || edge.status(&root, name) == Some(503));

    let origin = Origin::start();
    let host = edge.host(name);
    let address = edge.address.to_string();
    let upstream = origin.port().to_string();
    let arguments = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", &root];
    let mut client = Running::start(irp(home, &arguments), home.join("client.log"));
    client.event("connected");
    let answer = edge.visit(&root, name).unwrap();
    assert!(answer.status == 200 && answer.body.contains("\"/page\""), "{answer:?}");
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    edge.stop();

    let edge = start();
    eventually_blocking("the stored certificate is used", || edge.status(&root, name).is_some());
    assert_eq!((pebble.orders(), pebble.certificates()), (1, 1), "{}", pebble.log());
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_alpn_01_on_the_public_port() {
    let home = TempDir::new().unwrap();
    let name = "bot.irp.test";
    let port = free_port();
    let issuing = Issuing::for_tls(home.path(), name, (Ipv4Addr::LOCALHOST, port).into()).await;
    order_serve_restart(home.path(), &issuing.pebble, name, || {
        Edge::start_at(home.path(), port, &issuing.tables, |_| {})
    });
}

/// What the listener without TLS says to a visitor: the status, and where to go.
fn told_without_tls(port: u16, target: &str) -> String {
    let url = format!("http://{target}");
    let resolve = format!("{}:{port}:127.0.0.1", target.split_once(':').unwrap().0);
    let told = "%{http_code} %header{location}";
    curl(
        "/dev/null",
        &["--noproxy", "*", "--resolve", &resolve, "-d", "x", "-o", "/dev/null", "-w", told, &url],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn http_01_on_the_listener_that_sends_all_else_to_https() {
    let home = TempDir::new().unwrap();
    let name = "bot.irp.test";
    let port = free_port();
    let options = PebbleOptions { http_port: Some(port), ..PebbleOptions::default() };
    let issuing = Issuing::start(home.path(), name, Ipv4Addr::LOCALHOST.into(), "http-01", options).await;
    let tables = format!("http_listen = [\"127.0.0.1:{port}\"]\n{}", issuing.tables);
    order_serve_restart(home.path(), &issuing.pebble, name, || {
        let edge = Edge::start(home.path(), &tables);
        let path = "/deep/page?x=1&y=%2F";
        let told = told_without_tls(port, &format!("{name}:{port}{path}"));
        assert_eq!(told, format!("308 https://{}{path}", edge.host(name)));
        assert_eq!(told_without_tls(port, &format!("stranger.irp.test:{port}{path}")), "404 ");
        edge
    });
}

/// Writes down what it was asked for, and waits until the test has done it.
const HOOK: &str = r#"#!/bin/sh
asked="$(dirname "$0")/asked/$$"
printf '%s\n' "$1" "$2" "$3" > "$asked.part"
mv "$asked.part" "$asked"
while [ -e "$asked" ]; do sleep 0.05; done
"#;

/// Does what [`HOOK`] asks for, and takes the question away.
fn do_as_asked(folder: &Path, dns: &Responder) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some() {
            continue;
        }
        let question = fs::read_to_string(&file)?;
        match question.lines().collect::<Vec<_>>()[..] {
            ["present", name, value] => dns.add_txt(name, value),
            ["cleanup", name, value] => dns.remove_txt(name, value),
            _ => panic!("the hook was called with {question}"),
        }
        fs::remove_file(file)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_01_by_a_program_of_ones_own() {
    let home = TempDir::new().unwrap();
    let dns = std::sync::Arc::new(Responder::start().await.unwrap());
    let options = PebbleOptions { dns: Some(dns.address()), ..PebbleOptions::default() };
    let pebble = Pebble::start(home.path(), &options).unwrap();

    let asked = home.path().join("asked");
    fs::create_dir(&asked).unwrap();
    let (script, hook) = (home.path().join("hook.sh"), home.path().join("hook"));
    fs::write(&script, HOOK).unwrap();
    // Put there by another program: a file that this process has open for writing, or a fork of it, does not run.
    let install = find("install", "coreutils").unwrap();
    assert!(Command::new(install).args(["-m", "700"]).args([&script, &hook]).status().unwrap().success());
    let zone = std::sync::Arc::clone(&dns);
    tokio::spawn(async move {
        while do_as_asked(&asked, &zone).is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });

    let tables = format!(
        "{}[acme.dns]\nexec = {hook:?}\n{}",
        acme_tables(&pebble, "dns-01"),
        key_table(&keygen(home.path()), &["bot.irp.test", "*.bot.irp.test"]),
    );
    order_serve_restart(home.path(), &pebble, "bot.irp.test", || Edge::start(home.path(), &tables));
    let record = "_acme-challenge.bot.irp.test";
    assert!(dns.asked().contains(&(record.to_owned(), kind::TXT)));
    assert_eq!(dns.txt_count(record), 0, "the proof is still there");
}
