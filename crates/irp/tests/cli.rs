//! What the program prints and how it ends, compared with the files in `tests/snapshots`.
//!
//! `SNAPSHOTS=overwrite cargo test -p irp` writes them anew; then read the difference.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use irp_testkit::process::find;
use snapbox::{Data, assert_data_eq};
use tempfile::TempDir;

/// A home of its own, and nothing of the environment of whoever runs the test.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn irp(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_irp"));
        command.args(arguments).env_clear().env("HOME", self.path()).env("USER", "alice");
        command.current_dir(self.path()).output().unwrap()
    }

    /// What is on a terminal after a failure there, with this as `NO_COLOR`.
    fn on_terminal(&self, no_color: Option<&str>) -> String {
        let line = format!("exec '{}' edge --config edge.toml", env!("CARGO_BIN_EXE_irp"));
        let mut script = Command::new(find("script", "bsdutils").unwrap());
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_clear();
        script.env("HOME", self.path()).env("SHELL", "/bin/sh");
        script.envs(no_color.map(|value| ("NO_COLOR", value)));
        script.current_dir(self.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        // Kept open: the end of what is typed is a key of its own.
        let _keys = child.stdin.take();
        let screen = text(&child.wait_with_output().unwrap().stdout);
        assert!(screen.contains("edge.toml"), "{screen}");
        screen
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn looks_like(actual: &str, snapshot: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(snapshot);
    assert_data_eq!(actual.to_owned(), Data::read_from(&path, None).raw());
}

#[test]
fn help_is_complete() {
    let home = Home::new();
    for command in COMMANDS {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let output = home.irp(&arguments);
        assert!(output.status.success(), "{command}");
        assert!(output.stderr.is_empty(), "{command}");
        let name = if command.is_empty() { "irp".to_owned() } else { command.replace(' ', "-") };
        looks_like(&text(&output.stdout), &format!("help-{name}.txt"));
    }
}

const COMMANDS: &[&str] = &[
    "",
    "up",
    "connect",
    "disconnect",
    "generate",
    "ls",
    "status",
    "down",
    "gc",
    "edge",
    "inbox",
    "inbox ls",
    "inbox show",
    "inbox deliver",
    "inbox drop",
    "sign",
    "keygen",
    "ca",
    "ca path",
    "ca show",
    "completions",
    "setup",
    "doctor",
    "secret",
    "secret put",
    "forget",
    "ssh",
    "logs",
    "config",
    "config ssh",
];

#[test]
fn the_reference_is_the_help() {
    let output = Home::new().irp(&["pages"]);
    assert!(output.status.success());
    looks_like(&text(&output.stdout), "../../../../docs/commands.md");
}

#[test]
fn the_version_is_on_stdout() {
    let output = Home::new().irp(&["-V"]);
    assert_eq!(text(&output.stdout), format!("irp {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_unknown_key_is_told_with_file_line_and_nearest_key() {
    let home = Home::new();
    home.write("edge.toml", "listen = [\"[::]:443\"]\n\n[idle]\nhuors = 2\n");
    let output = home.irp(&["edge", "--config", "edge.toml", "--check"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stderr),
        "error: edge.toml:4:1: unknown key `huors`\n     hint: did you mean `hours`?\n"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn keys_that_contradict_each_other_are_told_with_file_and_line() {
    let home = Home::new();
    let acme =
        "[acme]\nchallenge = \"tls-alpn-01\"\ndirectory = \"https://ca.example.com/dir\"\nstaging = true\n";
    home.write("edge.toml", &format!("{acme}[sshd]\nnames = [\"alice.example.com\"]\n"));
    let output = home.irp(&["edge", "--config", "edge.toml", "--check"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stderr),
        "error: edge.toml:4:11: [acme] names two certificate authorities: \
         directory = \"https://ca.example.com/dir\" and staging = true\n     \
         hint: keep one of them: staging is Let's Encrypt's, for trials\n"
    );
}

#[test]
fn a_missing_file_is_told_with_its_cause() {
    let output = Home::new().irp(&["edge", "--config", "edge.toml"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stderr),
        "error: cannot read edge.toml\n  because: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_failure_is_an_object_for_programs() {
    let output = Home::new().irp(&["--json", "edge", "--config", "edge.toml"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stdout),
        "{\"event\":\"error\",\"kind\":\"config\",\"message\":\"cannot read edge.toml\",\
         \"causes\":[\"No such file or directory (os error 2)\"],\"hints\":[],\"exit_code\":3}\n"
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn wrong_use_ends_with_2() {
    let home = Home::new();
    let output = home.irp(&["edge", "--confg", "x"]);
    assert_eq!(output.status.code(), Some(2));
    looks_like(&text(&output.stderr), "wrong-flag.txt");
    let output = home.irp(&["edge", "--json", "--confg", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stdout),
        "{\"event\":\"error\",\"kind\":\"user\",\"message\":\"unexpected argument '--confg' found\",\
         \"causes\":[],\"hints\":[],\"exit_code\":2}\n"
    );
    assert_eq!(home.irp(&[]).status.code(), Some(2));
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let home = Home::new();
    let plain = home.irp(&["edge", "--config", "edge.toml"]);
    assert!(!plain.stderr.contains(&0x1b));
    let coloured = home.irp(&["--color", "always", "edge", "--config", "edge.toml"]);
    assert!(coloured.stderr.contains(&0x1b));
}

#[test]
fn on_a_terminal_there_are_colours_unless_no_color_says_otherwise() {
    let home = Home::new();
    assert!(home.on_terminal(None).contains("\x1b["));
    assert!(home.on_terminal(Some("")).contains("\x1b["));
    assert!(!home.on_terminal(Some("1")).contains('\x1b'));
}

#[test]
fn the_documented_configuration_passes_its_check() {
    let home = Home::new();
    home.write("edge.toml", include_str!("../../../docs/edge.toml"));
    let output = home.irp(&["edge", "--config", "edge.toml", "--check"]);
    assert_eq!(text(&output.stderr), "  edge.toml is right\n");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
}

#[test]
fn completions_are_a_script_on_stdout() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = home.irp(&["completions", shell]);
        assert!(output.status.success());
        let script = text(&output.stdout);
        assert!(script.contains("irp") && script.contains("IRP_COMPLETE"), "{shell}");
    }
}

#[test]
fn the_local_authority_is_made_once_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = Home::new();
    let output = home.irp(&["ca", "path"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let path = PathBuf::from(text(&output.stdout).trim_end());
    assert_eq!(path, home.path().join(".local/state/irp/ca/ca.pem"));
    let certificate = fs::read(&path).unwrap();
    assert_eq!(home.irp(&["ca", "show"]).stdout, certificate);
    assert!(certificate.starts_with(b"-----BEGIN CERTIFICATE-----"));
    let key = fs::metadata(path.with_file_name("ca.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[test]
fn without_a_home_there_is_a_hint() {
    let output = Command::new(env!("CARGO_BIN_EXE_irp")).args(["ca", "path"]).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    looks_like(&text(&output.stderr), "homeless.txt");
}

#[test]
fn a_key_is_made_once_and_printed() {
    let home = Home::new();
    let output = home.irp(&["keygen"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let public = text(&output.stdout);
    assert!(public.starts_with("ssh-ed25519 AAAA") && public.ends_with(" alice\n"), "{public}");
    let file = home.path().join(".config/irp/id_ed25519.pub");
    assert_eq!(fs::read_to_string(file).unwrap(), public);
    let again = home.irp(&["keygen"]);
    assert_eq!(again.status.code(), Some(3));
    assert!(text(&again.stderr).contains("exists already"), "{}", text(&again.stderr));
}

#[test]
fn what_cannot_be_an_edge_or_an_upstream_is_told() {
    let home = Home::new();
    for (arguments, expected) in [
        (&["connect", "alice.example.com", "70000"][..], "`70000` is no port"),
        (&["connect", "alice.example.com:x", "3000"][..], "`x` is no port"),
        (&["connect", "192.0.2.7", "3000"][..], "it is no host name: an IP address is not a host name"),
        (&["connect", "alice.example.com", "ftp://x"][..], "`ftp` is not supported"),
        (&["up", "--local", "--allow", "10.0.0.0/33"][..], "`10.0.0.0/33` is no network"),
        (&["up", "--local", "--name", "a_b"][..], "`a_b` cannot be a name below localhost"),
        (&["up", "--local", "--hold", "5"][..], "`5` is no span of time"),
        (&["up", "--local", "--basic-auth", "alice"][..], "there is no password for alice"),
    ] {
        let output = home.irp(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn without_a_key_the_hint_is_keygen() {
    let output = Home::new().irp(&["connect", "alice.example.com", "3000"]);
    assert_eq!(output.status.code(), Some(3));
    looks_like(&text(&output.stderr), "no-key.txt");
}
