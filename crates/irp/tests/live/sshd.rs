//! `[sshd]` of `edge.toml`: stock OpenSSH brings the tunnel.

use std::{fs, os::unix::fs::PermissionsExt as _};

use irp_testkit::{
    openssh::{KeyPair, Ssh, Sshd, Target, user},
    origin::Origin,
    patience::eventually_blocking,
};
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table},
    program::{ca_path, free_port},
};

/// How long requests are held here, in seconds: an ssh that logs in takes one or two.
const HOLD: u32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_of_the_machines_sshd_answers_goes_and_comes_back() {
    let home = TempDir::new().unwrap();
    let (bot, shop) = (Origin::start(), Origin::start());
    let upstream_port = free_port();
    let sockets = home.path().join("tunnels");
    fs::create_dir(&sockets).unwrap();
    let tables = format!(
        "{LOCAL}[limits]\nhold = \"{HOLD}s\"\n[sshd]\nupstream_port = {upstream_port}\n\
         names = [\"bot.localhost\", \"shop.localhost\"]\nsockets = {sockets:?}\n"
    );
    let edge = Edge::start(home.path(), &tables);
    let ca = ca_path(home.path());

    let key = KeyPair::generate(home.path(), "alice").unwrap();
    let sshd = Sshd::start(&home.path().join("sshd"), &key, "StreamLocalBindUnlink yes").unwrap();
    let target = sshd.target(&key).unwrap();
    let to_bot = format!("{upstream_port}:127.0.0.1:{}", bot.port());
    let to_shop = format!("{}/shop.sock:127.0.0.1:{}", sockets.display(), shop.port());
    let connect = || Ssh::forward(&target, &[&to_bot, &to_shop], &home.path().join("ssh.log")).unwrap();

    let mut ssh = connect();
    for (name, origin) in [("bot.localhost", &bot), ("shop.localhost", &shop)] {
        eventually_blocking("the forward answers", || edge.status(&ca, name) == Some(200));
        assert!(origin.counters().seen() > 0, "{name} went elsewhere");
    }

    ssh.kill().unwrap();
    // In the half second until the edge looks again, the answer is 502.
    let mut away = None;
    eventually_blocking("the edge sees that it is gone", || {
        away = edge.visit(&ca, "bot.localhost").filter(|answer| answer.status == 503);
        away.is_some()
    });
    let away = away.unwrap();
    assert!(away.seconds >= f64::from(HOLD), "it was not held: {away:?}");

    // This one is held, and answered by the forward that comes back meanwhile.
    let held = std::thread::scope(|scope| {
        let visitor = scope.spawn(|| edge.visit(&ca, "bot.localhost").unwrap());
        let back = connect();
        (visitor.join().unwrap(), back)
    });
    assert_eq!(held.0.status, 200, "{:?}", held.0);
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_on_the_public_port_brings_the_tunnel() {
    let home = TempDir::new().unwrap();
    // The account of the forwards must be able to pass.
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let origin = Origin::start();
    let key = KeyPair::generate(home.path(), "alice").unwrap();
    // As root, sshd runs as an account that is on every Linux; else there is no account but one's own.
    let me = user().unwrap();
    let account = if me == "root" { "daemon" } else { &me };
    let upstream_port = free_port();
    let tables = format!(
        "{LOCAL}{}[sshd]\nupstream_port = {upstream_port}\nnames = [\"bot.localhost\"]\nsockets = {:?}\n\
         on_443 = true\naccount = {account:?}\n",
        key_table(&key.public, &["bot.localhost"]),
        home.path().join("tunnels"),
    );
    let edge = Edge::start(home.path(), &tables);
    let ca = ca_path(home.path());
    let host_key = fs::read_to_string(home.path().join("sshd/host_key.pub")).unwrap();
    let port = edge.address.port();
    let forward = format!("{upstream_port}:127.0.0.1:{}", origin.port());

    let stranger = KeyPair::generate(home.path(), "mallory").unwrap();
    let refused = Target::new(port, account, &stranger, host_key.trim()).unwrap().run(&["-N"], &[]).unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Permission denied"), "{refused:?}");

    let target = Target::new(port, account, &key, host_key.trim()).unwrap();
    let mut ssh = Ssh::forward(&target, &[&forward], &home.path().join("ssh.log")).unwrap();
    eventually_blocking("the forward answers", || edge.status(&ca, "bot.localhost") == Some(200));
    ssh.kill().unwrap();
    eventually_blocking("the edge sees that it is gone", || edge.status(&ca, "bot.localhost") == Some(503));
    let _ssh = Ssh::forward(&target, &[&forward], &home.path().join("ssh.log")).unwrap();
    eventually_blocking("it is back", || edge.status(&ca, "bot.localhost") == Some(200));
    edge.stop();
}
