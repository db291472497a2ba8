//! The machine's own sshd, stock and with irp's drop-in: its forwards are tunnels, its logins are sessions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sshd_world;

use std::{net::TcpStream, path::Path, time::Duration};

use irp_edge::{
    idle::{Activity, BootClock},
    tunnels::sshd::{Account, ForwardAddress, Forwards, Owner, Presence, machine_drop_in, ssh_sessions},
};
use irp_testkit::openssh::{KeyPair, Ssh, Sshd, descendants};
use sshd_world::{PATIENCE, Upstream, free_port, greet, until};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

struct Machine {
    dir: TempDir,
    sshd: Sshd,
    key: KeyPair,
}

impl Machine {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate(dir.path(), "alice").unwrap();
        let sshd = Sshd::start(&dir.path().join("sshd"), &key, &machine_drop_in()).unwrap();
        Self { dir, sshd, key }
    }

    fn forward(&self, forward: &str) -> Ssh {
        let target = self.sshd.target(&self.key).unwrap();
        Ssh::forward(&target, &[forward], &self.dir.path().join("ssh.log")).unwrap()
    }

    /// The users of authenticated sessions of this sshd, and of no other that runs beside it.
    fn users(&self) -> Vec<String> {
        let own = descendants(self.sshd.pid());
        let sessions = ssh_sessions(Path::new("/proc")).unwrap();
        sessions
            .into_iter()
            .filter(|session| own.contains(&session.pid))
            .map(|session| session.user)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_through_it_is_a_tunnel() {
    let machine = Machine::start();
    let upstream = Upstream::start().await;
    let port = free_port();
    let address = ForwardAddress::Tcp(port);
    let forwards = Forwards::new([address.clone()], Owner::FirstCome);
    let mut presence = forwards.watch(&address).unwrap();
    let (activity, stop) = (Activity::new(BootClock), CancellationToken::new());
    let watching = tokio::spawn(forwards.run(activity.clone(), stop.clone()));

    for round in 1..=2 {
        let mut client = machine.forward(&format!("{port}:localhost:{}", upstream.port));
        timeout(PATIENCE, presence.wait_for(|presence| presence.is_present())).await.unwrap().unwrap();
        greet(&address).await.unwrap();
        assert_eq!(upstream.connections(), round);
        client.kill().unwrap();
        timeout(PATIENCE, presence.wait_for(|presence| !presence.is_present())).await.unwrap().unwrap();
    }
    stop.cancel();
    watching.await.unwrap();
    assert_eq!(activity.seen().sessions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_laptop_that_fell_asleep_loses_its_port() {
    let machine = Machine::start();
    let port = free_port();
    let address = ForwardAddress::Tcp(port);
    let forwards = Forwards::new([address.clone()], Owner::FirstCome);
    let mut presence = forwards.watch(&address).unwrap();
    let (activity, stop) = (Activity::new(BootClock), CancellationToken::new());
    let watching = tokio::spawn(forwards.run(activity, stop.clone()));

    let client = machine.forward(&format!("{port}:localhost:1"));
    timeout(PATIENCE, presence.wait_for(|presence| presence.is_present())).await.unwrap().unwrap();
    client.freeze();
    // The drop-in's 12 s, on a machine that is busy.
    let asleep = timeout(Duration::from_secs(25), presence.wait_for(|presence| !presence.is_present())).await;
    asleep.unwrap().unwrap();
    until("its session is gone, too", || machine.users().is_empty()).await;
    stop.cancel();
    watching.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_account_forwards_is_not_taken() {
    let machine = Machine::start();
    let port = free_port();
    let address = ForwardAddress::Tcp(port);
    let me = Account::current().unwrap();
    let forwards = Forwards::new([address.clone()], Owner::Uid(me.uid + 1));
    let mut presence = forwards.watch(&address).unwrap();
    let (activity, stop) = (Activity::new(BootClock), CancellationToken::new());
    let watching = tokio::spawn(forwards.run(activity.clone(), stop.clone()));

    let _client = machine.forward(&format!("{port}:localhost:1"));
    let seen = timeout(PATIENCE, presence.wait_for(|presence| *presence != Presence::Absent)).await;
    assert_eq!(*seen.unwrap().unwrap(), Presence::Foreign { uid: me.uid });
    assert_eq!(activity.seen().sessions, 0);
    stop.cancel();
    watching.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_count_and_connections_without_one_do_not() {
    let machine = Machine::start();
    let me = Account::current().unwrap().name;

    let stranger = TcpStream::connect(("127.0.0.1", machine.sshd.port())).unwrap();
    until("sshd serves the stranger", || !machine.sshd.sessions().is_empty()).await;
    assert_eq!(machine.users(), Vec::<String>::new());

    let mut tunnel = machine.forward("0:localhost:1");
    until("a tunnel counts", || machine.users() == [me.clone()]).await;
    let target = machine.sshd.target(&machine.key).unwrap();
    let shell = tokio::task::spawn_blocking(move || target.run(&["-tt"], &["sleep", "2"]));
    until("a terminal counts as well", || machine.users() == [me.clone(), me.clone()]).await;
    shell.await.unwrap().unwrap();

    tunnel.kill().unwrap();
    until("nobody is left", || machine.users().is_empty()).await;
    drop(stranger);
}
