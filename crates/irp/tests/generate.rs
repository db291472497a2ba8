//! `irp generate`: what stands on stdout, what on stderr, and what the real edge says to what it wrote.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use irp_testkit::process::find;
use serde_json::Value;
use tempfile::TempDir;

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The `.env` that people have from the original.
const ORIGINAL: &str = "\
HOST_NAME=alice
HOSTED_ZONE_DOMAIN=proxy.example.com
CADDY_DL_URL=https://example.com/caddy_2.11.0_linux_arm64.tar.gz
SHUTDOWN_TIMER_HOUR=1
UPSTREAM_PORT=3000
LOCALE=ja_JP.UTF-8
TIMEZONE=Asia/Tokyo
";

const IRP: &str = "HOSTED_ZONE_DOMAIN=proxy.example.com\nEDGE_DL_URL=https://example.com/irp-arm64\n";

struct Home(TempDir);

impl Home {
    fn with(env_file: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.write(".env", env_file);
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn irp(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_irp"));
        command.args(arguments).env_clear().env("HOME", self.path()).env("USER", "alice");
        command.envs(variables.iter().copied()).current_dir(self.path()).output().unwrap()
    }

    fn generate(&self, arguments: &[&str]) -> Output {
        self.irp(&[&["generate"], arguments].concat(), &[])
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn config(output: &Output) -> Value {
    assert!(output.status.success(), "{}", err(output));
    let text = unpacked(&out(output));
    serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap()
}

/// What is too long for EC2 is packed: undone by the same library that cloud-init uses.
fn unpacked(text: &str) -> String {
    const UNPACK: &str = "import email, gzip, sys\n\
        part, = email.message_from_file(sys.stdin).get_payload()\n\
        sys.stdout.write(gzip.decompress(part.get_payload(decode=True)).decode())";
    if text.starts_with("#cloud-config\n") {
        return text.to_owned();
    }
    let mut python = Command::new(find("python3", "python3").unwrap());
    let mut python =
        python.args(["-c", UNPACK]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    out(&python.wait_with_output().unwrap())
}

fn file<'a>(config: &'a Value, path: &str) -> &'a str {
    let files = config["write_files"].as_array().unwrap();
    files.iter().find(|file| file["path"] == path).unwrap()["content"].as_str().unwrap()
}

#[test]
fn the_edge_accepts_the_configuration_that_is_written_for_it() {
    let everything = format!(
        "{IRP}EDGE_SHA256={HASH}\nMAX_LIFE_HOUR=12\nCERT_STORE=s3://my-bucket/certs\nKMS_KEY=alias/irp\n\
         ACME_CONTACT=ops@example.com\nACME_STAGING=1\nSLACK_SIGNING_SECRET=ssm:/irp/secret/alice/slack\n"
    );
    for env_file in [format!("{IRP}EDGE_SHA256={HASH}\n"), everything] {
        let home = Home::with(&env_file);
        let config = config(&home.generate(&[]));
        home.write("edge.toml", file(&config, "/etc/irp/edge.toml"));
        let checked = home.irp(&["edge", "--config", "edge.toml", "--check"], &[]);
        assert!(checked.status.success(), "{}{}", err(&checked), file(&config, "/etc/irp/edge.toml"));
    }
}

#[test]
fn the_original_env_file_makes_a_machine_with_caddy() {
    let output = Home::with(ORIGINAL).generate(&[]);
    let config = config(&output);
    assert!(file(&config, "/etc/irp/Caddyfile").contains("alice.proxy.example.com {"));
    assert!(file(&config, "/etc/irp/boot.env").contains("LOCALE='ja_JP.UTF-8'"));
    assert!(err(&output).contains("engine caddy verifies no signatures"), "{}", err(&output));
}

#[test]
fn stdout_is_the_same_however_much_stderr_says() {
    let home = Home::with(ORIGINAL);
    let loud = home.generate(&["-vv"]);
    let quiet = home.generate(&["-q"]);
    assert_eq!(out(&loud), out(&quiet));
    assert!(!err(&loud).is_empty());
    let json = home.generate(&["--json"]);
    let events: Vec<Value> = out(&json).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = events.iter().find(|event| event["event"] == "user-data").unwrap();
    assert_eq!(event["text"], out(&quiet));
}

#[test]
fn the_key_is_made_once_and_goes_in() {
    let home = Home::with(&format!("{IRP}EDGE_SHA256={HASH}\n"));
    let first = home.generate(&[]);
    assert!(err(&first).contains("is your key, made just now"), "{}", err(&first));
    let second = home.generate(&[]);
    assert!(!err(&second).contains("made just now"));
    assert_eq!(out(&first), out(&second));
    let line = fs::read_to_string(home.path().join(".config/irp/id_ed25519.pub")).unwrap();
    let config = config(&second);
    assert_eq!(config["ssh_authorized_keys"][0], line.trim_end());
    assert!(file(&config, "/etc/irp/edge.toml").contains(line.trim_end()));
    let private = fs::read_to_string(home.path().join(".config/irp/id_ed25519")).unwrap();
    assert!(!out(&second).contains(private.lines().nth(2).unwrap()));
}

#[test]
fn flags_count_more_than_variables_these_more_than_files() {
    let home = Home::with(&format!("{IRP}EDGE_SHA256={HASH}\nUPSTREAM_PORT=3\nTIMEZONE=Asia/Tokyo\n"));
    home.write("irp.toml", "upstream_port = 4\nhost_name = \"shop\"\ntimezone = \"UTC\"\n");
    let port = |arguments: &[&str], variables: &[(&str, &str)]| {
        let config = config(&home.irp(&[&["generate"], arguments].concat(), variables));
        let edge: toml::Table = file(&config, "/etc/irp/edge.toml").parse().unwrap();
        assert_eq!(edge["sshd"]["names"][0].as_str(), Some("shop.proxy.example.com"));
        assert!(file(&config, "/etc/irp/boot.env").contains("TIMEZONE='Asia/Tokyo'"));
        edge["sshd"]["upstream_port"].as_integer().unwrap()
    };
    assert_eq!(port(&["--upstream-port", "1"], &[("UPSTREAM_PORT", "2")]), 1);
    assert_eq!(port(&[], &[("UPSTREAM_PORT", "2")]), 2);
    assert_eq!(port(&[], &[]), 3);
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_nothing_is_printed() {
    let home =
        Home::with("HOSTED_ZONE_DOMAIN=https://example.com\nUPSTREAM_PORT=70000\nTIMEZONE=Asia/Tokio\n");
    let output = home.irp(&["generate", "--host-name", "my_host"], &[("LOCALE", "japanese")]);
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
    let told = err(&output);
    for part in [
        "HOST_NAME (--host-name) `my_host` is no DNS label; allowed: letters",
        "HOSTED_ZONE_DOMAIN (.env) `https://example.com` has a scheme in it",
        "UPSTREAM_PORT (.env) `70000` is no port",
        "LOCALE (the environment) `japanese` is no locale",
        "TIMEZONE (.env) `Asia/Tokio` is no time zone (did you mean Asia/Tokyo?)",
        "EDGE_DL_URL is not set",
        "hint: set it in .env, as EDGE_DL_URL=…, or type --edge-dl-url …",
    ] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
}

#[test]
fn slips_are_found_in_both_files() {
    let home = Home::with(&format!("{ORIGINAL}SHUTDOWN_TIMER_HUOR=2\nSLACK_BOT_TOKEN=xoxb-1\n"));
    let output = home.generate(&[]);
    assert!(output.status.success());
    assert!(
        err(&output).contains("SHUTDOWN_TIMER_HUOR is no setting of irp; did you mean SHUTDOWN_TIMER_HOUR?")
    );
    assert!(!err(&output).contains("SLACK_BOT_TOKEN"));
    home.write("irp.toml", "\nupstream_prot = 3000\n");
    let output = home.generate(&[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("irp.toml:2:1: unknown key `upstream_prot`"), "{}", err(&output));
    assert!(err(&output).contains("did you mean `upstream_port`?"));
}

#[test]
fn a_secret_is_not_passed_on_and_not_shown() {
    let home = Home::with(&format!("{ORIGINAL}SLACK_SIGNING_SECRET=8f742231b10e8888abcd99yyyzzz85a5\n"));
    let output = home.generate(&["-vvv"]);
    assert!(output.status.success());
    assert!(!out(&output).contains("8f742231") && !err(&output).contains("8f742231"));
    assert!(err(&output).contains("ssm:/irp/secret/alice/slack"), "{}", err(&output));
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let home = Home::with(ORIGINAL);
    assert_eq!(home.generate(&["--env-file", "other.env"]).status.code(), Some(3));
    assert_eq!(home.generate(&["--config", "other.toml"]).status.code(), Some(3));
    home.write("other.env", &ORIGINAL.replace("alice", "bob"));
    let config = config(&home.generate(&["--env-file", "other.env"]));
    assert!(file(&config, "/etc/irp/Caddyfile").contains("bob.proxy.example.com {"));
}
