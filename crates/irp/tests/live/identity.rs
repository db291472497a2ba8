//! Which key `irp connect` proves itself with: one of a real ssh-agent, or a file that is encrypted.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use irp_testkit::{
    origin::Origin,
    patience::eventually_blocking,
    process::{Peer, find},
};
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table},
    program::{Running, ca_path, irp},
    terminal::Terminal,
};

const NAME: &str = "bot.localhost";
const PACKAGE: &str = "openssh-client";
const PASSPHRASE: &str = "open sesame";

/// An edge that knows one key, whose file is encrypted, and an agent that holds it.
struct World {
    home: TempDir,
    key: String,
    socket: PathBuf,
    _agent: Peer,
    edge: Edge,
    origin: Origin,
    arguments: Vec<String>,
}

impl World {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let file = home.path().join("locked");
        openssh("ssh-keygen", |command| {
            command.args(["-q", "-t", "ed25519", "-C", "alice", "-N", "", "-f"]).arg(&file)
        });
        let socket = home.path().join("agent.sock");
        let mut command = Command::new(find("ssh-agent", PACKAGE).unwrap());
        command.arg("-D").arg("-a").arg(&socket);
        let mut agent = Peer::start(command, PACKAGE, &home.path().join("agent.log")).unwrap();
        agent.wait_until(|| socket.exists()).unwrap();
        openssh("ssh-add", |command| command.arg("-q").arg(&file).env("SSH_AUTH_SOCK", &socket));
        // From now on the file alone is of no use to who does not know the passphrase.
        openssh("ssh-keygen", |command| command.args(["-q", "-p", "-N", PASSPHRASE, "-f"]).arg(&file));

        let public = fs::read_to_string(file.with_extension("pub")).unwrap();
        let edge = Edge::start(home.path(), &format!("{LOCAL}{}", key_table(public.trim(), &[NAME])));
        let origin = Origin::start();
        let (host, upstream) = (edge.host(NAME), origin.port().to_string());
        let (address, ca) = (edge.address.to_string(), ca_path(home.path()));
        let arguments = ["connect", &host, &upstream, "--connect-to", &address, "--cacert", &ca];
        let arguments = arguments.map(str::to_owned).to_vec();
        let key = file.to_str().unwrap().to_owned();
        Self { home, key, socket, _agent: agent, edge, origin, arguments }
    }

    /// `irp connect` with these arguments more.
    fn connect(&self, more: &[&str]) -> Command {
        let mut command = irp(self.home.path(), more);
        command.args(&self.arguments);
        command
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("client.log")
    }
}

#[test]
fn an_agent_signs_for_a_key_whose_file_is_encrypted_or_not_there() {
    let world = World::new();
    for more in [&["--json", "--key", &world.key][..], &["--json", "--agent"]] {
        let mut command = world.connect(&[]);
        command.args(more).env("SSH_AUTH_SOCK", &world.socket);
        let mut client = Running::start(command, world.log());
        client.event("connected");
        client.interrupt();
        assert_eq!(client.end().code(), Some(0), "{more:?}");
    }
    world.edge.stop();
}

#[test]
fn an_encrypted_key_without_terminal_and_agent_is_refused_in_words() {
    let world = World::new();
    for more in [&["--key", &world.key][..], &["--key", &world.key, "--no-agent"]] {
        let mut command = world.connect(&[]);
        command.args(more).stdin(Stdio::null());
        if more.contains(&"--no-agent") {
            command.env("SSH_AUTH_SOCK", &world.socket);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("is encrypted") && said.contains("hint: ssh-add"), "{said}");
    }
    world.edge.stop();
}

#[test]
fn a_passphrase_is_asked_on_a_terminal_and_not_shown() {
    let world = World::new();
    let ca = ca_path(world.home.path());
    let mut command = world.connect(&[]);
    command.args(["--key", &world.key]);
    let mut terminal = Terminal::start(&command, &world.home.path().join("screen"));
    for (passphrase, times) in [("wrong", 1), (PASSPHRASE, 2)] {
        eventually_blocking("the question", || terminal.screen().matches("Passphrase of").count() == times);
        terminal.type_in(&format!("{passphrase}\n"));
    }
    eventually_blocking("the tunnel", || world.edge.status(&ca, NAME) == Some(200));
    assert!(world.origin.counters().seen() > 0);
    // Ctrl-C.
    terminal.type_in("\u{3}");
    assert_eq!(terminal.end(), Some(0));
    let screen = fs::read_to_string(world.home.path().join("screen")).unwrap();
    assert!(!screen.contains(PASSPHRASE) && !screen.contains("wrong"), "{screen}");
    world.edge.stop();
}

fn openssh(program: &str, arrange: impl FnOnce(&mut Command) -> &mut Command) {
    let output = arrange(&mut Command::new(find(program, PACKAGE).unwrap())).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
