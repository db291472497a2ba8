//! An AWS account on this machine, and a home from which `irp` is run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use irp_testkit::moto::{KEY_ID, Moto, REGION, SECRET};
use serde_json::Value;
use tempfile::TempDir;

/// A home of its own, and mostly a moto server.
pub(crate) struct Stage {
    home: TempDir,
    moto: Option<Moto>,
}

impl Stage {
    /// Everything is empty but for what moto has of itself: a default network, images, and their parameters.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let moto = Moto::start(home.path()).unwrap();
        Self { home, moto: Some(moto) }
    }

    /// For tests that bring their own AWS.
    pub(crate) fn without_moto() -> Self {
        Self { home: tempfile::tempdir().unwrap(), moto: None }
    }

    /// AWS on this machine.
    pub(crate) fn moto(&self) -> &Moto {
        self.moto.as_ref().unwrap()
    }

    /// The folder in which `irp` runs.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file there, such as `.env`.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `irp ARGS…` with the credentials of moto and nothing else of this machine's environment.
    pub(crate) fn irp(&self, arguments: &[&str]) -> Command {
        self.irp_at(&self.moto().url(), arguments)
    }

    /// The same, with AWS at another URL: answers that moto does not give.
    pub(crate) fn irp_at(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_irp"));
        command.args(arguments).env_clear().env("HOME", self.home()).env("USER", "alice");
        let nowhere = self.home().join("no-such-file");
        command
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.env("AWS_CONFIG_FILE", &nowhere).env("AWS_SHARED_CREDENTIALS_FILE", nowhere);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("NO_PROXY", "127.0.0.1");
        // Nobody is asked who is outside.
        command.env("IRP_RESOLVER", "127.0.0.1:1");
        command.env("AWS_ENDPOINT_URL", url).current_dir(self.home());
        command
    }

    /// Runs `irp ARGS…` to its end, which must be a success, and gives stdout.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.irp(arguments).output().unwrap();
        assert!(output.status.success(), "irp {}: {}", arguments.join(" "), err(&output));
        out(&output)
    }

    /// Runs `irp --json ARGS…` to its end, which must be a success, and gives its events.
    #[track_caller]
    pub(crate) fn events(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.run(&[&["--json"], arguments].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs `irp ARGS…` to its end, which must be a failure with this exit code, and gives stderr.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.irp(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "irp {}: {}", arguments.join(" "), err(&output));
        err(&output)
    }

    /// Runs `aws ARGS…`, an independent look at the account.
    #[track_caller]
    pub(crate) fn aws(&self, arguments: &[&str]) -> Value {
        self.moto().cli(arguments).unwrap()
    }

    /// Makes a public zone and gives its id.
    #[track_caller]
    pub(crate) fn zone(&self, domain: &str) -> String {
        let made =
            self.aws(&["route53", "create-hosted-zone", "--name", domain, "--caller-reference", domain]);
        made["HostedZone"]["Id"].as_str().unwrap().trim_start_matches("/hostedzone/").to_owned()
    }
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
