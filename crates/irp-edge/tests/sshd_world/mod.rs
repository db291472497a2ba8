//! An edge's sshd way with a public listener, an upstream behind an `ssh` client, and the watch over its forwards.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use irp_edge::{
    idle::{Activity, BootClock},
    tunnels::sshd::{
        Account, AuthorizedKey, ForwardAddress, Forwards, Limits, Owner, OwnerKeys, Presence, SshdWay,
        SshdWayConfig, UpstreamPort,
    },
};
use irp_testkit::{
    openssh::{KeyPair, Ssh, Target},
    process::find,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long anything may take that takes milliseconds on a machine with nothing else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the upstream says first on every connection.
pub(crate) const GREETING: &[u8; 5] = b"hello";

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) way: Arc<SshdWay>,
    pub(crate) account: Account,
    pub(crate) activity: Activity,
    pub(crate) stop: CancellationToken,
    pub(crate) public: SocketAddr,
    pub(crate) port: UpstreamPort,
    pub(crate) by_port: ForwardAddress,
    pub(crate) by_name: ForwardAddress,
    pub(crate) at_port: watch::Receiver<Presence>,
    pub(crate) at_name: watch::Receiver<Presence>,
    pub(crate) upstream: Upstream,
    pub(crate) key: KeyPair,
    pub(crate) tasks: JoinSet<()>,
}

/// A configuration for tests: quick to notice a dead client.
pub(crate) fn config(dir: &TempDir, key: &KeyPair) -> SshdWayConfig {
    // The account must be able to pass.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let me = Account::current().unwrap();
    // As root, sshd runs as an account that is on every Linux; else there is no account but one's own.
    let account = if me.uid == 0 { Account::named("daemon").unwrap() } else { me };
    SshdWayConfig {
        sshd: find("sshd", "openssh-server").unwrap(),
        ssh_keygen: find("ssh-keygen", "openssh-client").unwrap(),
        folder: dir.path().join("sshd"),
        share_account: account.is_current(),
        account,
        keys: OwnerKeys::new([("alice", AuthorizedKey::parse(&key.public).unwrap())]).unwrap(),
        port: free_port(),
        sockets: Some(dir.path().join("tunnels")),
        alive_interval: Duration::from_secs(1),
        alive_count: 1,
        login_grace: Duration::from_secs(10),
        limits: Limits::default(),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut SshdWayConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate(dir.path(), "alice").unwrap();
        let mut config = config(&dir, &key);
        change(&mut config);
        let (account, port) = (config.account.clone(), config.port);
        let way = Arc::new(SshdWay::open(config).await.unwrap());

        let activity = Activity::new(BootClock);
        let stop = CancellationToken::new();
        let by_port = ForwardAddress::Tcp(port);
        let by_name = ForwardAddress::socket(&dir.path().join("tunnels"), "alice").unwrap();
        let forwards = Forwards::new([by_port.clone(), by_name.clone()], Owner::Uid(account.uid));
        let (at_port, at_name) = (forwards.watch(&by_port).unwrap(), forwards.watch(&by_name).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let public = (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()).into();

        let mut tasks = JoinSet::new();
        tasks.spawn(forwards.run(activity.clone(), stop.clone()));
        tasks.spawn(listen(listener, Arc::clone(&way), activity.clone(), stop.clone()));
        let upstream = Upstream::start().await;
        Self {
            dir,
            way,
            account,
            activity,
            stop,
            public,
            port,
            by_port,
            by_name,
            at_port,
            at_name,
            upstream,
            key,
            tasks,
        }
    }

    /// How the owner's `ssh` reaches the public listener.
    pub(crate) fn target(&self) -> Target {
        self.target_of(&self.account.name, &self.key)
    }

    pub(crate) fn target_of(&self, user: &str, key: &KeyPair) -> Target {
        Target::new(self.public.port(), user, key, self.way.host_key()).unwrap()
    }

    pub(crate) fn port_forward(&self) -> String {
        format!("{}:127.0.0.1:{}", self.port, self.upstream.port)
    }

    pub(crate) fn name_forward(&self) -> String {
        format!("{}:127.0.0.1:{}", self.by_name, self.upstream.port)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("ssh.log")
    }

    /// A client with both forwards.
    pub(crate) fn client(&self) -> Ssh {
        Ssh::forward(&self.target(), &[&self.port_forward(), &self.name_forward()], &self.log()).unwrap()
    }

    pub(crate) async fn present(&mut self) {
        self.both(Presence::Present).await;
    }

    pub(crate) async fn absent(&mut self) {
        self.both(Presence::Absent).await;
    }

    async fn both(&mut self, wanted: Presence) {
        for presence in [&mut self.at_port, &mut self.at_name] {
            let came = timeout(PATIENCE, presence.wait_for(|presence| *presence == wanted)).await;
            let log = std::fs::read_to_string(self.dir.path().join("ssh.log")).unwrap_or_default();
            came.unwrap_or_else(|_| panic!("not {wanted:?}: {log}")).unwrap();
        }
    }

    /// Ends the edge's side; every task must end by itself.
    pub(crate) async fn shut_down(mut self) {
        self.stop.cancel();
        timeout(PATIENCE, async { while self.tasks.join_next().await.is_some_and(|end| end.is_ok()) {} })
            .await
            .unwrap();
        assert!(self.tasks.is_empty(), "a task panicked");
    }
}

/// The public listener: it looks at the first bytes without taking them, as the edge does.
async fn listen(listener: TcpListener, way: Arc<SshdWay>, activity: Activity, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, from) = accepted.unwrap();
                let (way, activity, stop) = (Arc::clone(&way), activity.clone(), stop.clone());
                connections.spawn(async move {
                    let mut first = [0; 4];
                    if stream.peek(&mut first).await.is_ok() && &first == b"SSH-" {
                        let _ = way.hand_over(stream, from, &activity, &stop).await;
                    }
                });
            }
            () = stop.cancelled() => break,
        }
    }
    while let Some(end) = connections.join_next().await {
        end.unwrap();
    }
}

/// The developer's program: it greets, echoes until the end of input, and counts connections.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    pub(crate) connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut echoes = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                echoes.spawn(async move {
                    let _ = stream.write_all(GREETING).await;
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.write_all(b"bye").await;
                });
            }
        });
        Self { port, connections, _tasks: tasks }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Connects to a forward and reads what the upstream says first.
pub(crate) async fn greet(address: &ForwardAddress) -> io::Result<()> {
    let exchange = async {
        let mut stream = address.connect().await?;
        let mut greeting = [0; GREETING.len()];
        stream.read_exact(&mut greeting).await?;
        assert_eq!(&greeting, GREETING);
        Ok(())
    };
    timeout(PATIENCE, exchange).await?
}

/// Waits until something that nobody announces is so.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) fn free_port() -> UpstreamPort {
    UpstreamPort::new(irp_testkit::port::unused().unwrap(), &[]).unwrap()
}
