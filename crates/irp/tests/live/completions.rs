//! Completion in a shell that somebody types into: bash, on a terminal of its own.

use std::{
    fs,
    io::{BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use irp_testkit::process::find;
use tempfile::TempDir;

use crate::program::{WITHIN, irp};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8cU9WHIxFEGvIhVyFDuYtEKKyNi4BGRWXDZZ2kTmIe";

/// A home that was connected to three edges, and has a client in the background for a fourth.
fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    let state = home.path().join(".local/state/irp");
    fs::create_dir_all(state.join("background")).unwrap();
    let edges = ["alice.proxy.example.com", "bob.example.net", "[alice.localhost]:8443"];
    let lines: String = edges.iter().map(|edge| format!("{edge} {KEY}\n")).collect();
    fs::write(state.join("known_edges"), lines).unwrap();
    let report =
        r#"{"name":"shop.example.com","pid":1,"urls":[],"upstream":"http://localhost:3000","log":"/log"}"#;
    fs::write(state.join("background/0011223344556677.json"), report).unwrap();
    home
}

/// What the script of fish gets for a line: one proposal a line, with what is told about it behind a tab.
fn proposed(home: &Path, line: &[&str]) -> Vec<String> {
    let output = irp(home, &[&["--", "irp"], line].concat()).env("IRP_COMPLETE", "fish").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn names_are_proposed_where_a_name_can_stand() {
    let home = home();
    let (alice, bob) = ("alice.proxy.example.com\tknown", "bob.example.net\tknown");
    let shop = "shop.example.com\tconnected in the background";
    for command in ["status", "down", "logs", "ssh", "forget"] {
        assert_eq!(proposed(home.path(), &[command, "a"]), [alice], "{command}");
        let all = proposed(home.path(), &[command, ""]);
        assert!(
            [alice, bob, shop].iter().all(|name| all.contains(&(*name).to_owned())),
            "{command}: {all:?}"
        );
    }
    assert_eq!(proposed(home.path(), &["disconnect", ""])[0], shop);
    assert!(!proposed(home.path(), &["disconnect", ""]).contains(&alice.to_owned()));
    let with_port = "alice.localhost:8443\tknown";
    for line in [&["connect", "a"][..], &["inbox", "ls", "a"]] {
        assert_eq!(proposed(home.path(), line), [alice, with_port], "{line:?}");
    }
    assert_eq!(proposed(home.path(), &["up", "--detac"]).len(), 1);
    // Nothing at all is a home as well.
    let empty = TempDir::new().unwrap();
    assert!(!proposed(empty.path(), &["status", ""]).iter().any(|line| line.contains("example")));
}

#[test]
fn a_tab_completes_the_name_of_an_edge_in_bash() {
    let home = home();
    let mut bash = Terminal::with_bash(home.path());
    bash.shows("ready> ");
    bash.types("irp status al\t");
    bash.shows("irp status alice.proxy.example.com ");
    bash.types("--js\t");
    bash.shows("--json ");
    bash.types("\x15irp discon\t");
    bash.shows("irp disconnect ");
    bash.types("sh\t");
    bash.shows("shop.example.com ");
    bash.types("\x15exit\n");
    assert!(bash.child.wait().unwrap().success());
}

/// A terminal, seen from outside.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<u8>,
    seen: String,
}

impl Terminal {
    /// Runs a bash that has taken the script.
    fn with_bash(home: &Path) -> Self {
        let start = home.join("start.bash");
        let own = Path::new(env!("CARGO_BIN_EXE_irp")).parent().unwrap();
        let path = format!("{}:/usr/bin:/bin", own.display());
        fs::write(&start, "PS1='ready> '\neval \"$(irp completions bash)\"\n").unwrap();
        let bash = format!("bash --noprofile --rcfile {} -i", start.display());
        let mut script = Command::new(find("script", "bsdutils").unwrap());
        script.args(["--quiet", "--return", "--command", &bash, "/dev/null"]).env_clear();
        script.env("PATH", path).env("HOME", home).env("USER", "alice").env("TERM", "dumb").current_dir(home);
        script.env("INPUTRC", "/dev/null").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let (sender, screen) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || out.bytes().map_while(Result::ok).try_for_each(|byte| sender.send(byte)));
        Self { keys: child.stdin.take().unwrap(), child, screen, seen: String::new() }
    }

    fn types(&mut self, keys: &str) {
        self.seen.clear();
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until this stands there since something was typed.
    fn shows(&mut self, text: &str) {
        let deadline = Instant::now() + WITHIN;
        while !self.seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                // Bells and movements of the cursor are no text.
                Ok(byte) if byte.is_ascii_graphic() || byte == b' ' => self.seen.push(byte.into()),
                Ok(_) => {}
                Err(_) => panic!("no {text:?} in {:?}", self.seen),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
