//! Which key `irp connect` proves itself with: one of a real ssh-agent, or a file that is encrypted.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
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

/// A terminal with one program in it: that of `script`, which writes down what is on its screen.
struct Terminal {
    script: Child,
    screen: PathBuf,
}

impl Terminal {
    fn start(program: &Command, screen: &Path) -> Self {
        let words = std::iter::once(program.get_program()).chain(program.get_args());
        let quoted = words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")));
        let line = format!("exec {}", quoted.collect::<Vec<_>>().join(" "));
        let mut command = Command::new(find("script", "bsdutils").unwrap());
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("SHELL", "/bin/sh").args(["-q", "-e", "-f", "-c", &line]).arg(screen);
        let log = File::create(screen.with_extension("log")).unwrap();
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { script: command.spawn().unwrap(), screen: screen.to_owned() }
    }

    /// All that was on the screen so far.
    fn screen(&mut self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.screen) {
            file.read_to_end(&mut text).unwrap();
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let ended = self.script.try_wait().unwrap();
        assert!(ended.is_none(), "it ended: {ended:?}\n{text}");
        text
    }

    fn type_in(&mut self, text: &str) {
        self.script.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end, and gives the exit code of what ran inside.
    fn end(mut self) -> Option<i32> {
        let mut status = None;
        eventually_blocking("the end", || {
            status = self.script.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

fn openssh(program: &str, arrange: impl FnOnce(&mut Command) -> &mut Command) {
    let output = arrange(&mut Command::new(find(program, PACKAGE).unwrap())).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
