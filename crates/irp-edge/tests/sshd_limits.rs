//! What a client of our own sshd cannot do, and what strangers cannot do to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sshd_world;

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    process::Output,
    time::Duration,
};

use irp_edge::tunnels::sshd::{
    Account, AuthorizedKey, Limits, OpenError, OwnerKeys, OwnerKeysError, SshdWay,
};
use irp_testkit::openssh::{KeyPair, Ssh, Target};
use sshd_world::{World, config, until};

/// Runs a client to its end, beside the listener.
async fn run(target: &Target, args: &[&str], command: &[&str]) -> Output {
    let own = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (target, args, command) = (target.clone(), own(args), own(command));
    let run = move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        target.run(&args, &command).unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_run_anything() {
    let world = World::new().await;
    let target = world.target();
    let attempts: [(&[&str], &[&str]); 5] = [
        (&[], &["echo", "ran"]),
        (&["-tt"], &[]),
        (&["-T"], &[]),
        (&["-s"], &["sftp"]),
        (&["-A", "-X"], &["echo", "ran"]),
    ];
    for (args, command) in attempts {
        let output = run(&target, args, command).await;
        assert!(!output.status.success(), "{args:?} {command:?}");
        assert!(output.stdout.is_empty(), "{args:?} {command:?} gave {:?}", output.stdout);
        // It did get in, so it was not the key that was refused.
        assert!(!stderr(&output).contains("Permission denied"), "{}", stderr(&output));
    }
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_reach_into_the_machine() {
    let world = World::new().await;
    let target = world.target();
    let upstream = format!("127.0.0.1:{}", world.upstream.port);
    let output = run(&target, &["-W", &upstream], &[]).await;
    assert!(!output.status.success() && output.stdout.is_empty(), "{}", stderr(&output));
    assert!(stderr(&output).contains("administratively prohibited"), "{}", stderr(&output));
    assert_eq!(world.upstream.connections(), 0);

    // The same towards a socket.
    let (here, there) = (world.dir.path().join("here.sock"), world.dir.path().join("there.sock"));
    let listener = UnixListener::bind(&there).unwrap();
    std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o777)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let forward = format!("{}:{}", here.display(), there.display());
    let mut client = Ssh::start(&target, &["-L", &forward], &world.log()).unwrap();
    let mut connection = None;
    until("the local end listens", || {
        connection = UnixStream::connect(&here).ok();
        connection.is_some()
    })
    .await;
    until("the edge says no", || client.peer().output().contains("open failed")).await;
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_listen_elsewhere() {
    let world = World::new().await;
    // Without root sshd shares the account of the edge, and so can write where the edge can: in that case a
    // folder is taken that neither can write to.
    let folder = if world.account.is_current() { "/".into() } else { world.dir.path().join("sshd") };
    let outside = folder.join("irp-outside.sock");
    let other = sshd_world::free_port();
    for forward in [
        format!("{other}:127.0.0.1:1"),
        format!("0.0.0.0:{other}:127.0.0.1:1"),
        "0:127.0.0.1:1".to_owned(),
        "443:127.0.0.1:1".to_owned(),
        format!("{}:127.0.0.1:1", outside.display()),
    ] {
        let mut client = Ssh::forward(&world.target(), &[&forward], &world.log()).unwrap();
        until("the client gives up", || client.peer().child().try_wait().unwrap().is_some()).await;
        assert!(
            client.peer().output().contains("forwarding failed"),
            "{forward}: {}",
            client.peer().output()
        );
    }
    assert!(!outside.exists());

    // The right port, asked for on all addresses, comes out at the loopback alone.
    let forward = format!("0.0.0.0:{}:127.0.0.1:1", world.port);
    let _client = Ssh::forward(&world.target(), &[&forward], &world.log()).unwrap();
    let mut at_port = world.at_port.clone();
    at_port.wait_for(|presence| presence.is_present()).await.unwrap();
    let elsewhere: SocketAddr = ([127, 0, 0, 2], world.port.get()).into();
    assert!(TcpStream::connect(elsewhere).is_err());
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_in() {
    let world = World::new().await;
    let stranger = KeyPair::generate(world.dir.path(), "stranger").unwrap();
    let someone_else = if world.account.name == "root" { "daemon" } else { "root" };
    for target in [world.target_of(&world.account.name, &stranger), world.target_of(someone_else, &world.key)]
    {
        let output = run(&target, &["-N"], &[]).await;
        assert!(stderr(&output).contains("Permission denied (publickey)"), "{}", stderr(&output));
    }
    assert_eq!(world.activity.seen().last_ended, None, "counted as a session");
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_bounded_per_address_and_ends_by_itself() {
    let mut world = World::with(|config| {
        config.limits = Limits { waiting_per_address: 2, waiting: 8, sessions: 4 };
        config.login_grace = Duration::from_secs(3);
    })
    .await;
    // All from one address that is not the owner's.
    let flood: Vec<TcpStream> = (0..20).map(|_| stranger(world.public)).collect();
    let served =
        tokio::task::spawn_blocking(move || flood.into_iter().filter_map(greeted).collect::<Vec<_>>());
    let served = served.await.unwrap();
    assert_eq!(served.len(), 2, "sshd was started for so many");

    // The owner gets in beside it.
    let _client = world.client();
    world.present().await;

    // And the flood is out as soon as sshd's patience is over, so that this address has a chance again.
    let gone = tokio::task::spawn_blocking(move || {
        for mut stream in served {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    });
    gone.await.unwrap();
    let public = world.public;
    until("the address is served again", || greeted(stranger(public)).is_some()).await;
    assert!(world.activity.seen().sessions == 3, "the flood counted as sessions");
    world.shut_down().await;
}

/// A connection from 127.0.0.9 that speaks like an SSH client and goes no further.
fn stranger(to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 9], 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    std::io::Write::write_all(&mut stream, b"SSH-2.0-flood\r\n").unwrap();
    stream
}

/// The connection, if an sshd answers on it.
fn greeted(mut stream: TcpStream) -> Option<TcpStream> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut banner = [0; 8];
    stream.read_exact(&mut banner).ok()?;
    (&banner == b"SSH-2.0-").then_some(stream)
}

#[tokio::test]
async fn a_second_owner_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let keys = ["alice", "bob"].map(|name| {
        let pair = KeyPair::generate(dir.path(), name).unwrap();
        (name, AuthorizedKey::parse(&pair.public).unwrap())
    });
    let refused = OwnerKeys::new(keys).unwrap_err();
    assert_eq!(refused, OwnerKeysError::SecondOwner { first: "alice".into(), second: "bob".into() });
}

#[tokio::test]
async fn the_edges_own_account_gets_no_sockets_and_wrong_settings_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate(dir.path(), "alice").unwrap();
    let mut own = config(&dir, &key);
    own.account = Account::current().unwrap();
    own.share_account = false;
    assert!(matches!(SshdWay::open(own).await, Err(OpenError::SharedAccount(_))));

    let mut missing = config(&dir, &key);
    missing.sshd = "/nonexistent/sshd".into();
    assert!(matches!(SshdWay::open(missing).await, Err(OpenError::Missing(_))));

    let mut unreadable = config(&dir, &key);
    unreadable.folder = dir.path().join("bad\"name");
    assert!(matches!(SshdWay::open(unreadable).await, Err(OpenError::Path(_))));
}

#[tokio::test]
async fn the_host_key_stays_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate(dir.path(), "alice").unwrap();
    let first = SshdWay::open(config(&dir, &key)).await.unwrap();
    let second = SshdWay::open(config(&dir, &key)).await.unwrap();
    assert!(first.host_key().starts_with("ssh-ed25519 "));
    assert_eq!(first.host_key(), second.host_key());
}
