//! Forwards of the system's ssh to the machine's real sshd.

use std::{fs, process::Command};

use irp_testkit::{
    openssh::{KeyPair, Sshd, descendants, user},
    origin::Origin,
    patience::{eventually, eventually_blocking},
    process::find,
};

use super::stage::{ID, NAME, World, console, refusal};
use crate::{
    edge::{Edge, LOCAL},
    program::{Running, ca_path, free_port},
};

/// A machine whose sshd takes forwards, and whose edge serves what comes out of them.
struct Machine {
    world: World,
    sshd: Sshd,
    edge: Edge,
    ca: String,
    origin: Origin,
}

impl Machine {
    async fn new() -> Self {
        let world = World::new().await;
        let sshd = world.sshd("");
        let port = free_port();
        world.change(|machine| machine.upstream_port = port);
        let tables = format!("{LOCAL}[sshd]\nupstream_port = {port}\nnames = [{NAME:?}]\n");
        let edge = Edge::start(world.home(), &tables);
        let ca = ca_path(world.home());
        Self { world, sshd, edge, ca, origin: Origin::start() }
    }

    fn connect(&self, more: &[&str]) -> Running {
        let (host, upstream) = (self.edge.host(NAME), self.origin.port().to_string());
        let port = self.sshd.port().to_string();
        let arguments = [&["connect", &host, &upstream, "--ssh-port", &port], more].concat();
        self.world.start(&arguments)
    }

    fn is_served(&self) {
        let before = self.origin.counters().seen();
        eventually_blocking("the edge sees the forward", || self.edge.status(&self.ca, NAME) == Some(200));
        assert!(self.origin.counters().seen() > before);
    }

    /// Kills every ssh that irp has started here.
    fn kill_ssh(&self) {
        let state = self.world.home().join(".local/state/irp").display().to_string();
        let read = |pid: &u32, what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        let is_ours = |pid: &u32| {
            read(pid, "comm").trim_ascii() == b"ssh"
                && String::from_utf8_lossy(&read(pid, "cmdline")).contains(&state)
        };
        let found: Vec<u32> = descendants(std::process::id()).into_iter().filter(is_ours).collect();
        assert!(!found.is_empty());
        for pid in found {
            let kill = find("kill", "procps").unwrap();
            let _ = Command::new(kill).args(["-KILL", &pid.to_string()]).status().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_minute_opens_sshd_through_session_manager_and_is_pushed_at_each_login() {
    let machine = Machine::new().await;
    let mut client = machine.connect(&["--via", "eic"]);
    let via = client.event("connected")["via"].as_str().unwrap().to_owned();
    let me = user().unwrap();
    assert!(via.starts_with(&format!("ssh to {me}@{ID} through Session Manager")), "{via}");
    machine.is_served();
    let pushed = machine.world.asked("SendSSHPublicKey");
    assert_eq!((&pushed[0]["InstanceId"], &pushed[0]["InstanceOSUser"]), (&ID.into(), &me.as_str().into()));
    assert!(pushed[0]["SSHPublicKey"].as_str().unwrap().starts_with("ssh-ed25519 "));

    // The minute is over.
    fs::write(machine.world.home().join("sshd/authorized_keys"), "").unwrap();
    machine.kill_ssh();
    client.event("lost");
    client.event("connected");
    machine.is_served();
    let pushes = machine.world.asked("SendSSHPublicKey").len();
    assert!(pushes >= 2);

    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    // Each session is ended, and its secret is nowhere any more.
    let started = machine.world.asked("StartSession").len();
    let ended = || machine.world.asked("TerminateSession").len();
    eventually("the sessions to end", || ended() == started).await;
    let state = machine.world.home().join(".local/state/irp");
    let left = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with("ssh-")));
    machine.edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_minute_opens_sshd_at_its_open_port() {
    let machine = Machine::new().await;
    machine.world.change(|machine| machine.address = Some("127.0.0.1".into()));
    let mut client = machine.connect(&["--via", "eic", "--direct"]);
    client.event("connected");
    machine.is_served();
    assert!(machine.world.asked("StartSession").is_empty());
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    machine.edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_with_another_host_key_gets_nothing() {
    let machine = Machine::new().await;
    let other = KeyPair::generate(machine.world.home(), "other").unwrap();
    machine.world.change(|machine| machine.console = console(&other.public));
    let mut client = machine.connect(&["--via", "eic"]);
    let error = client.event("error").to_string();
    assert!(error.contains("whoever answers is not the machine"), "{error}");
    assert_eq!(client.end().code(), Some(5));
    assert_eq!(machine.origin.counters().seen(), 0);
    machine.edge.stop();
}

/// Where the console says nothing, the edge's own page does, to whoever trusts its certificate.
#[tokio::test(flavor = "multi_thread")]
async fn the_edge_shows_the_host_key_that_the_console_lacks() {
    let world = World::new().await;
    let sshd = world.sshd("");
    let port = free_port();
    world.change(|machine| {
        machine.upstream_port = port;
        machine.console = "nothing yet".into();
        machine.address = Some("127.0.0.1".into());
    });
    let file = world.home().join("sshd/host_key.pub");
    let tables =
        format!("{LOCAL}[sshd]\nupstream_port = {port}\nnames = [{NAME:?}]\nhost_keys = [{file:?}]\n");
    let edge = Edge::start(world.home(), &tables);
    let machine = Machine { ca: ca_path(world.home()), world, sshd, edge, origin: Origin::start() };
    let mut client = machine.connect(&["--via", "eic", "--cacert", &machine.ca]);
    client.event("connected");
    machine.is_served();
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    machine.edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_caddy_a_refused_push_leads_to_ones_own_key() {
    let machine = Machine::new().await;
    let own = machine.world.home().join(".ssh");
    fs::create_dir_all(&own).unwrap();
    let key = KeyPair::generate(&own, "id_ed25519").unwrap();
    fs::write(machine.world.home().join("sshd/authorized_keys"), format!("{}\n", key.public)).unwrap();
    machine.world.change(|machine| {
        machine.engine = "caddy";
        machine.no_push =
            Some(refusal("AuthException", "User is not authorized to perform ec2-instance-connect"));
    });
    let mut client = machine.connect(&["--via", "auto"]);
    let other = client.event("other_way");
    let why = other["why"].as_str().unwrap();
    assert!(why.contains("the permission ec2-instance-connect:SendSSHPublicKey is missing"), "{why}");
    let connected = client.event("connected");
    assert_eq!(connected["via"], format!("ssh to {}@{ID} through Session Manager", user().unwrap()));
    assert_eq!(connected["edge"], "caddy");
    machine.is_served();
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    // That of the refused push was of no use, and is ended as well.
    let ended = || machine.world.asked("TerminateSession").len();
    eventually("the sessions to end", || ended() == 2).await;
    machine.edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_caddy_and_ssh_cannot_do_is_told() {
    let machine = Machine::new().await;
    machine.world.change(|machine| machine.engine = "caddy");
    for (arguments, word) in [
        (&["--via", "ssm"][..], "runs Caddy, to which only ssh leads"),
        (&["--via", "eic", "--verify", "slack"], "nobody verifies them"),
        (&["--via", "eic", "--name", "other.irp.localhost"], "serves the machine's own name and no other"),
        (&["--via", "eic", "--direct"], "has no public address"),
    ] {
        let arguments = [&["connect", NAME, "3000"], arguments].concat();
        let mut command = machine.world.irp(&arguments);
        // Alone, it would switch Slack on, which is refused before the rest.
        if arguments.contains(&"--verify") {
            command.env("SLACK_SIGNING_SECRET", "0123456789abcdef0123456789abcdef");
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(word) && said.contains("hint: "), "{said}");
    }
    machine.edge.stop();
}
