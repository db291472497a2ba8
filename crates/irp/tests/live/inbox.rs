//! The inbox under duress, through the real programs: an edge that is killed again and again, and tunnels that come
//! and go under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime},
};

use http::HeaderMap;
use irp_testkit::{
    origin::{Bot, Manners},
    visitor::{Door, Reply, Wire},
};
use irp_webhook::{Provider, Request, Secret};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, free_port, irp},
};

const NAME: &str = "bot.localhost";
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// How many providers send at once, each to a path of its own and one event after the other.
const SENDERS: usize = 4;

/// How often the edge is killed.
const KILLS: usize = 100;

/// How long anything may take that has to come; the machines of CI are shared.
const WITHIN: Duration = Duration::from_secs(240);

/// Slack's events alone, with no time to hold, so that senders wait for nothing but the disk.
fn tables(home: &TempDir, more: &str) -> String {
    std::fs::write(home.path().join("slack"), SECRET).unwrap();
    let key = key_table(&keygen(home.path()), &[NAME]);
    format!(
        "{LOCAL}{key}[[host]]\nname = \"{NAME}\"\n[[host.verify]]\nprovider = \"slack\"\n\
         secret_file = \"slack\"\n[limits]\nhold = \"1ms\"\n{more}"
    )
}

/// A provider that sends events to a path of its own, each until it is acknowledged.
struct Sender {
    door: Door,
    path: String,
    wire: Option<Wire>,
    /// How many were acknowledged.
    acknowledged: usize,
    /// How many of them the program itself has answered.
    passed: usize,
    /// How many were acknowledged to all senders together.
    all: Arc<AtomicUsize>,
}

impl Sender {
    fn new(door: &Door, number: usize, all: Arc<AtomicUsize>) -> Self {
        let path = format!("/slack/{number}");
        Self { door: door.clone(), path, wire: None, acknowledged: 0, passed: 0, all }
    }

    /// Sends until there are so many, or `stop` is set; what was begun is brought to its end.
    async fn run(mut self, most: usize, size: usize, stop: Arc<AtomicBool>) -> Self {
        while self.acknowledged < most && !stop.load(SeqCst) {
            let body = body(&self.path, self.acknowledged, size);
            for attempt in 0.. {
                match timeout(Duration::from_secs(60), self.send(&body, attempt)).await {
                    Ok(Ok(reply)) if reply.status == 200 => {
                        self.passed += usize::from(reply.body == b"taken");
                        break;
                    }
                    Ok(Ok(reply)) => assert_eq!(reply.status, 503, "{}", reply.text()),
                    // The edge is away, or went away in the midst of it.
                    Ok(Err(_)) | Err(_) => self.wire = None,
                }
                sleep(Duration::from_millis(5)).await;
            }
            self.acknowledged += 1;
            self.all.fetch_add(1, SeqCst);
        }
        self
    }

    async fn send(&mut self, body: &str, attempt: u32) -> std::io::Result<Reply> {
        if self.wire.is_none() {
            self.wire = Some(self.door.connect().await?);
        }
        let wire = self.wire.as_mut().unwrap();
        wire.send(request(&self.path, body, attempt)).await?;
        let reply = wire.response().await?;
        if reply.value("connection") == Some("close") {
            self.wire = None;
        }
        Ok(reply)
    }
}

fn body(path: &str, number: usize, size: usize) -> String {
    let event =
        format!(r#"{{"type":"event_callback","event_id":"Ev{path}/{number}","event":{{"type":"message"}}}}"#);
    format!("{event:<size$}")
}

/// An event as Slack sends it: each attempt is signed anew.
fn request(path: &str, body: &str, attempt: u32) -> Vec<u8> {
    let headers = HeaderMap::new();
    let signable = Request { method: "POST", url: "https://x/", headers: &headers, body: body.as_bytes() };
    let provider = Provider::named("slack").unwrap();
    let signed = provider.sign(&Secret::new(SECRET), &signable, SystemTime::now(), "").unwrap();
    let mut text = format!(
        "POST {path} HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in signed.headers {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    if attempt > 0 {
        text += &format!("X-Slack-Retry-Num: {attempt}\r\nX-Slack-Retry-Reason: http_error\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// Senders under way.
struct Senders {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    running: Vec<JoinHandle<Sender>>,
}

fn start_senders(door: &Door, most: usize, size: usize) -> Senders {
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let sender = |number| Sender::new(door, number, Arc::clone(&acknowledged));
    let start = |number| tokio::spawn(sender(number).run(most, size, Arc::clone(&stop)));
    let running = (0..SENDERS).map(start).collect();
    Senders { stop, acknowledged, running }
}

async fn ended(senders: Vec<JoinHandle<Sender>>) -> Vec<Sender> {
    let mut ended = Vec::new();
    for sender in senders {
        ended.push(timeout(WITHIN, sender).await.unwrap().unwrap());
    }
    ended
}

fn door(edge: &Edge, ca: &str) -> Door {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    Door::tls(edge.address, NAME, Arc::new(roots))
}

fn connect(home: &TempDir, edge: &Edge, ca: &str, bot: &Bot, log: &str) -> Running {
    let (host, address) = (edge.host(NAME), edge.address.to_string());
    let upstream = bot.address().port().to_string();
    let arguments = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", ca];
    let mut client = Running::start(irp(home.path(), &arguments), home.path().join(log));
    client.event("connected");
    client
}

async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// The numbers of the events of one path, in the order in which they arrived.
fn arrivals(bot: &Bot, path: &str) -> Vec<usize> {
    let taken = bot.taken();
    let own = taken.iter().filter(|taken| taken.target == path);
    own.map(|taken| {
        let text = taken.text().split('"').find(|part| part.starts_with("Ev")).unwrap();
        text.rsplit('/').next().unwrap().parse().unwrap()
    })
    .collect()
}

/// A pause of some milliseconds below `most`, another one each time.
fn chance(seed: &mut u64, most: u64) -> Duration {
    // Marsaglia's xorshift: the points only have to differ.
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    Duration::from_millis(*seed % most)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_killed_a_hundred_times_loses_nothing_that_it_acknowledged() {
    let home = TempDir::new().unwrap();
    let tables = tables(&home, "");
    let port = free_port();
    let mut edge = Edge::start_at(home.path(), port, &tables, |_| {});
    let ca = ca_path(home.path());
    let door = door(&edge, &ca);
    let Senders { stop, acknowledged, running } = start_senders(&door, usize::MAX, 0);
    let mut seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    for _ in 0..KILLS {
        // Some events after the start, or none at all; and some moment later.
        let next = acknowledged.load(SeqCst) + chance(&mut seed, 6).as_millis() as usize;
        wait_for("some events", || acknowledged.load(SeqCst) >= next).await;
        sleep(chance(&mut seed, 12)).await;
        // SIGKILL, at whatever instant: no handler runs, nothing is closed.
        drop(edge);
        edge = Edge::start_at(home.path(), port, &tables, |_| {});
    }
    stop.store(true, SeqCst);
    let senders = ended(running).await;
    let acknowledged: usize = senders.iter().map(|sender| sender.acknowledged).sum();
    assert!(acknowledged > KILLS, "only {acknowledged} events in {KILLS} lives");
    assert!(senders.iter().all(|sender| sender.passed == 0));

    // Nobody was ever connected. Now somebody is.
    let bot = Bot::start();
    let client = connect(&home, &edge, &ca, &bot, "client.log");
    wait_for("all events", || bot.count() >= acknowledged).await;
    for sender in &senders {
        let expected: Vec<_> = (0..sender.acknowledged).collect();
        assert_eq!(arrivals(&bot, &sender.path), expected, "lost, twice, or out of order: {}", sender.path);
    }
    assert!(bot.taken().iter().all(|taken| taken.value("irp-parked-at").ends_with('Z')));
    println!("{acknowledged} events, {KILLS} kills");
    // Its lines were read by nobody, so that it might not end by itself.
    drop(client);
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_events_all_arrive_while_tunnels_drop_and_return() {
    const EVENTS: usize = 2000;
    let home = TempDir::new().unwrap();
    let tables = tables(&home, "[log]\nlevel = \"info,irp_edge::inbox=debug\"\n");
    let edge = Edge::start(home.path(), &tables);
    let ca = ca_path(home.path());
    let bot = Bot::start();
    let Senders { running, .. } = start_senders(&door(&edge, &ca), EVENTS / SENDERS, 2048);
    let mut seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut tunnels = 0;
    while !running.iter().all(JoinHandle::is_finished) {
        tunnels += 1;
        let client = connect(&home, &edge, &ca, &bot, "client.log");
        sleep(chance(&mut seed, 600)).await;
        // SIGKILL: to the edge the tunnel breaks in the midst of everything.
        drop(client);
        sleep(chance(&mut seed, 200)).await;
    }
    let senders = ended(running).await;
    let client = connect(&home, &edge, &ca, &bot, "client.log");
    // What the edge has seen answered with 2xx: passed on at once, or delivered later.
    let passed: usize = senders.iter().map(|sender| sender.passed).sum();
    let delivered = || edge.running.log().matches("an event was delivered").count();
    wait_for("all deliveries", || passed + delivered() >= EVENTS).await;
    for sender in &senders {
        // An answer that was lost with its tunnel was not seen; then the event came again, and before the next.
        let mut arrived = arrivals(&bot, &sender.path);
        arrived.dedup();
        let expected: Vec<_> = (0..EVENTS / SENDERS).collect();
        assert_eq!(arrived, expected, "lost, or out of order: {}", sender.path);
    }
    assert_eq!(passed + delivered(), EVENTS, "an event came again after a 2xx that the edge saw");
    let repeated = bot.count() - EVENTS;
    assert!(repeated <= tunnels * SENDERS, "{repeated} repeats with {tunnels} tunnels");
    println!(
        "{EVENTS} events: {passed} passed, {} kept, {repeated} repeated, {tunnels} tunnels",
        delivered()
    );
    // Its lines were read by nobody, so that it might not end by itself.
    drop(client);
    edge.stop();
}

/// Runs `irp inbox` and returns what it prints for programs.
fn inbox(home: &TempDir, edge: &Edge, ca: &str, arguments: &[&str]) -> Vec<Value> {
    let address = edge.address.to_string();
    let mut all = vec!["--json", "inbox"];
    all.extend(arguments);
    all.extend(["--connect-to", &address, "--cacert", ca]);
    let output = irp(home.path(), &all).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_name_sees_what_is_kept_and_says_what_becomes_of_it() {
    let home = TempDir::new().unwrap();
    let tables = tables(&home, "[inbox]\nretry = \"1ms\"\n");
    let edge = Edge::start(home.path(), &tables);
    let ca = ca_path(home.path());
    let Senders { running, .. } = start_senders(&door(&edge, &ca), 2, 0);
    ended(running).await;
    let host = edge.host(NAME);
    let listed = inbox(&home, &edge, &ca, &["ls", &host]);
    assert_eq!(listed.len(), 2 * SENDERS);
    assert_eq!((&listed[0]["provider"], &listed[0]["failed"]), (&"slack".into(), &false.into()));
    let first = listed[0]["number"].to_string();
    let shown = &inbox(&home, &edge, &ca, &["show", &host, &first])[0];
    assert!(shown["body"].as_str().unwrap().contains("event_callback"), "{shown}");
    let is_signature = |header: &Value| header[0] == "x-slack-signature";
    assert!(shown["headers"].as_array().unwrap().iter().any(is_signature), "{shown}");
    assert_eq!(inbox(&home, &edge, &ca, &["drop", &host, &first])[0]["count"], 1);
    assert_eq!(inbox(&home, &edge, &ca, &["ls", &host]).len(), 2 * SENDERS - 1);

    // A program that fails has its events moved aside; they come again when they are asked for.
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let bot = Bot::with(([127, 0, 0, 1], 0).into(), move |_, _| Manners {
        status: (!well.load(SeqCst)).then_some(500),
        ..Manners::default()
    });
    let bot = bot.unwrap();
    let mut client = connect(&home, &edge, &ca, &bot, "client.log");
    let failed = |client: &mut Running, count: u64| {
        while client.event("inbox")["failed"] != count {}
    };
    failed(&mut client, 2 * SENDERS as u64 - 1);
    is_well.store(true, SeqCst);
    // The tunnel stays with its client.
    assert_eq!(inbox(&home, &edge, &ca, &["deliver", &host])[0]["count"], 2 * SENDERS - 1);
    failed(&mut client, 0);
    let well = bot.taken().iter().filter(|taken| taken.status == 200).count();
    assert_eq!(well, 2 * SENDERS - 1);
    assert!(inbox(&home, &edge, &ca, &["ls", &host]).is_empty());

    // A stranger's key sees nothing.
    let stranger = TempDir::new().unwrap();
    keygen(stranger.path());
    let address = edge.address.to_string();
    let arguments = ["inbox", "ls", &host, "--connect-to", &address, "--cacert", &ca];
    let output = irp(stranger.path(), &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not know"), "{output:?}");
    drop(client);
    edge.stop();
}
