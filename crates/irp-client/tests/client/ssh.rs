//! The tunnel of the system's `ssh` through a real sshd, supervised.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use irp_client::{
    Event, EventSink, RunError,
    ssh::{Entrance, HostKeys, Login, Opening, Reach, SshConfig, run},
};
use irp_testkit::{
    openssh::{KeyPair, Sshd, descendants, user},
    origin::Origin,
    patience::eventually,
    port,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::edge::soon;

/// The door of one sshd, which counts how often it was opened.
#[derive(Debug)]
struct Door {
    port: u16,
    host_key: String,
    key: PathBuf,
    opened: AtomicUsize,
    folders: Mutex<Vec<PathBuf>>,
}

impl Entrance for Door {
    fn way(&self) -> String {
        "ssh to i-0abc".into()
    }

    fn open<'a>(&'a self, folder: &'a Path) -> Opening<'a> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        self.folders.lock().unwrap().push(folder.to_owned());
        Box::pin(async {
            Ok(Login {
                user: user().unwrap(),
                machine: "i-0abc".into(),
                host_keys: HostKeys::from_lines(&self.host_key).unwrap(),
                identities: vec![self.key.clone()],
                only_these: true,
                reach: Reach::Direct([127, 0, 0, 1].into(), self.port),
            })
        })
    }
}

struct World {
    dir: TempDir,
    key: KeyPair,
    sshd: Sshd,
    forward: u16,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let key = KeyPair::generate(dir.path(), "alice").unwrap();
        let sshd = Sshd::start(&dir.path().join("sshd"), &key, "").unwrap();
        Self { dir, key, sshd, forward: port::unused().unwrap() }
    }

    fn door(&self) -> Door {
        Door {
            port: self.sshd.port(),
            host_key: self.sshd.host_key().to_owned(),
            key: self.key.private.clone(),
            opened: AtomicUsize::new(0),
            folders: Mutex::default(),
        }
    }

    fn start(&self, door: &Arc<Door>, upstream: &str) -> Running {
        let config = SshConfig {
            urls: vec!["https://alice.proxy.example.com".into()],
            agent: "caddy".into(),
            entrance: Arc::clone(door) as _,
            others: Vec::new(),
            forward_port: self.forward,
            upstream: upstream.parse().unwrap(),
            folder: self.dir.path().join("state"),
        };
        let (sink, events) = EventSink::channel();
        let shutdown = CancellationToken::new();
        let run = tokio::spawn(run(config, sink, shutdown.clone()));
        Running { events, shutdown, run }
    }

    /// Whether a request to the machine's port comes out at the upstream.
    async fn answers(&self) -> bool {
        let exchange = async {
            let mut tcp = TcpStream::connect(("127.0.0.1", self.forward)).await?;
            tcp.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer.starts_with("HTTP/1.1 200"))
        };
        soon(exchange).await.unwrap_or(false)
    }
}

struct Running {
    events: mpsc::Receiver<Event>,
    shutdown: CancellationToken,
    run: JoinHandle<Result<(), RunError>>,
}

impl Running {
    async fn event<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let found = tokio::time::timeout(Duration::from_secs(40), async {
            while let Some(event) = self.events.recv().await {
                if let Some(found) = wanted(&event) {
                    return Some(found);
                }
                seen.push(event);
            }
            None
        });
        match found.await {
            Ok(Some(found)) => found,
            _ => panic!("not among {seen:#?}"),
        }
    }

    async fn connected(&mut self) {
        self.event(|event| matches!(event, Event::Connected { .. }).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_stands_is_made_again_when_it_breaks_and_leaves_nothing() {
    let world = World::new();
    let origin = Origin::start();
    let door = Arc::new(world.door());
    let mut running = world.start(&door, &origin.port().to_string());
    running.connected().await;
    assert!(world.answers().await);

    // The machine drops its sessions.
    for pid in world.sshd.sessions() {
        let _ = std::process::Command::new(irp_testkit::process::find("kill", "procps").unwrap())
            .args(["-KILL", &pid.to_string()])
            .status();
    }
    running.event(|event| matches!(event, Event::Lost { .. }).then_some(())).await;
    running.connected().await;
    assert!(world.answers().await);
    // Each login had its door opened anew: a key of a minute is no good the second time.
    assert!(door.opened.load(Ordering::SeqCst) >= 2);

    running.shutdown.cancel();
    soon(running.run).await.unwrap().unwrap();
    assert!(!world.answers().await);
    assert!(door.folders.lock().unwrap().iter().all(|folder| !folder.exists()));
    let clients = || {
        let ours = descendants(std::process::id());
        let of = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let state = world.dir.path().to_string_lossy().into_owned();
        ours.into_iter()
            .map(of)
            .filter(|line| String::from_utf8_lossy(line).contains(&format!("{state}/state")))
            .count()
    };
    eventually("ssh to be gone", || clients() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_key_than_the_reported_one_ends_it() {
    let world = World::new();
    let other = KeyPair::generate(world.dir.path(), "other").unwrap();
    let door = Arc::new(Door { host_key: other.public, ..world.door() });
    let running = world.start(&door, "3000");
    let error = soon(running.run).await.unwrap().unwrap_err();
    let RunError::Connect { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("whoever answers is not the machine"), "{source}");
    assert!(!world.answers().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_let_in_ends_it() {
    let world = World::new();
    let stranger = KeyPair::generate(world.dir.path(), "mallory").unwrap();
    let door = Arc::new(Door { key: stranger.private, ..world.door() });
    let error = soon(world.start(&door, "3000").run).await.unwrap().unwrap_err();
    let RunError::Connect { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("does not let this key in"), "{source}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_tried_again_until_it_is_free() {
    let world = World::new();
    let origin = Origin::start();
    // sshd is content with one of the two families.
    let taken = [
        TcpListener::bind(("127.0.0.1", world.forward)).await.unwrap(),
        TcpListener::bind(("::1", world.forward)).await.unwrap(),
    ];
    let mut running = world.start(&Arc::new(world.door()), &origin.port().to_string());
    let why = |event: &Event| match event {
        Event::Failed { why, .. } => Some(why.clone()),
        _ => None,
    };
    let why = running.event(why).await;
    assert!(why.contains("the port on the machine is taken"), "{why}");
    drop(taken);
    running.connected().await;
    assert!(world.answers().await);
    running.shutdown.cancel();
    soon(running.run).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_upstream_that_ssh_cannot_forward_to_is_refused() {
    let world = World::new();
    for upstream in ["https://localhost:3000", "h2c://localhost:3000", "unix:/run/app.sock"] {
        let door = Arc::new(world.door());
        let error = soon(world.start(&door, upstream).run).await.unwrap().unwrap_err();
        let RunError::Connect { source, .. } = &error else { panic!("{error:?}") };
        assert!(source.to_string().contains("ssh forwards to a port"), "{source}");
        assert_eq!(door.opened.load(Ordering::SeqCst), 0);
    }
}
