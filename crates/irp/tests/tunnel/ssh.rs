//! Tunnels of stock OpenSSH through the assembled edge: the machine's sshd, and our own on the public port.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use irp_edge::{
    config::SshWay,
    http::Limits,
    tunnels::sshd::{
        Account, AuthorizedKey, Limits as SshLimits, Owner, OwnerKeys, SshdWayConfig, UpstreamPort,
    },
};
use irp_testkit::{
    openssh::{KeyPair, Ssh, Sshd, Target},
    origin::Origin,
    port,
    process::find,
};
use tempfile::TempDir;

use crate::stage::{NAME, Options, PATIENCE, Stage};

/// How long requests are held where a test wants to hear that nobody is there.
const HOLD: Duration = Duration::from_millis(200);

/// How soon the edge must know that a forward has come or gone.
const SOON: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_forward_through_the_machines_sshd_serves_its_name_goes_and_comes_back() {
    let dir = TempDir::new().unwrap();
    let key = KeyPair::generate(dir.path(), "alice").unwrap();
    let sshd = Sshd::start(&dir.path().join("sshd"), &key, "").unwrap();
    let port = free_port();
    let stage = stage(machines_sshd(port), HOLD).await;
    comes_and_goes(&stage, &sshd.target(&key).unwrap(), port, dir.path()).await;
}

#[tokio::test]
async fn a_request_is_held_until_a_forward_through_the_machines_sshd_is_there() {
    let dir = TempDir::new().unwrap();
    let key = KeyPair::generate(dir.path(), "alice").unwrap();
    let sshd = Sshd::start(&dir.path().join("sshd"), &key, "").unwrap();
    let (port, origin) = (free_port(), Origin::start());
    let stage = stage(machines_sshd(port), PATIENCE).await;
    let (curl, url) = (stage.curl(), stage.url("/held"));
    let forward = format!("{port}:{}", origin.address());
    let (held, client) = tokio::join!(curl.get(&url), async {
        // A second visitor's connection gives the first one time to arrive.
        let _wire = stage.door().connect().await.unwrap();
        Ssh::forward(&sshd.target(&key).unwrap(), &[&forward], &dir.path().join("ssh.log")).unwrap()
    });
    assert_eq!((held.unwrap().status, origin.counters().seen()), (200, 1));
    drop(client);
}

#[tokio::test]
async fn a_forward_through_ssh_on_the_public_port_serves_its_name_goes_and_comes_back() {
    let dir = TempDir::new().unwrap();
    let key = KeyPair::generate(dir.path(), "alice").unwrap();
    let port = free_port();
    let config = own_sshd(dir.path(), &key, port);
    let (user, uid, folder) = (config.account.name.clone(), config.account.uid, config.folder.clone());
    let way = SshWay { owner: Owner::Uid(uid), on_public_port: Some(config), ..machines_sshd(port) };
    let stage = stage(way, HOLD).await;
    let host_key = fs::read_to_string(folder.join("host_key.pub")).unwrap();
    let target = Target::new(stage.address.port(), &user, &key, host_key.trim()).unwrap();
    comes_and_goes(&stage, &target, port, dir.path()).await;
}

/// Lets a client come, be killed, and come again.
async fn comes_and_goes(stage: &Stage, target: &Target, port: UpstreamPort, dir: &Path) {
    let origin = Origin::start();
    let forward = format!("{port}:{}", origin.address());
    let log = dir.join("ssh.log");
    answers(stage, 503, &log).await;
    for round in 0..2 {
        let mut client = Ssh::forward(target, &[&forward], &log).unwrap();
        answers(stage, 200, &log).await;
        assert_eq!(origin.counters().seen(), round + 1);
        client.kill().unwrap();
        answers(stage, 503, &log).await;
    }
}

/// Asks until the answer has this status; until the edge knows, the forward may refuse.
async fn answers(stage: &Stage, status: u16, log: &Path) {
    let since = Instant::now();
    loop {
        let reply = stage.curl().get(&stage.url("/")).await.unwrap();
        if reply.status == status {
            return;
        }
        let log = fs::read_to_string(log).unwrap_or_default();
        assert!(since.elapsed() < SOON, "{} instead of {status}\n{}\n{log}", reply.status, reply.text());
    }
}

async fn stage(ssh: SshWay, hold: Duration) -> Stage {
    let limits = Limits { hold, ..Limits::default() };
    Stage::with(Options { ssh: Some(ssh), limits, ..Options::default() }).await
}

/// What comes out at `port`, whoever logged in for it.
fn machines_sshd(port: UpstreamPort) -> SshWay {
    let name = NAME.parse().unwrap();
    SshWay { name, port, sockets: None, owner: Owner::FirstCome, on_public_port: None }
}

/// Our own sshd for one key; as root it runs as an account that is on every Linux.
fn own_sshd(dir: &Path, key: &KeyPair, port: UpstreamPort) -> SshdWayConfig {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let me = Account::current().unwrap();
    let account = if me.uid == 0 { Account::named("daemon").unwrap() } else { me };
    SshdWayConfig {
        sshd: find("sshd", "openssh-server").unwrap(),
        ssh_keygen: find("ssh-keygen", "openssh-client").unwrap(),
        folder: dir.join("sshd"),
        share_account: account.is_current(),
        account,
        keys: OwnerKeys::new([("alice", AuthorizedKey::parse(&key.public).unwrap())]).unwrap(),
        port,
        sockets: None,
        alive_interval: Duration::from_secs(1),
        alive_count: 1,
        login_grace: Duration::from_secs(10),
        limits: SshLimits::default(),
    }
}

fn free_port() -> UpstreamPort {
    UpstreamPort::new(port::unused().unwrap(), &[]).unwrap()
}
