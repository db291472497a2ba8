//! AWS on this machine: a real moto server, and the AWS CLI to look at it from outside.
//!
//! It keeps everything in memory, checks no signature, and differs from AWS in many details: what it does not do, or does
//! otherwise, is tested with [`scripted`](crate::scripted) answers.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{process::Peer, python, route53::HostedZone};

/// The region that its visitors use.
pub const REGION: &str = "eu-central-1";

/// Credentials as good as any.
pub const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

/// Their other half: that of AWS's own documentation.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A running moto server, killed on drop.
#[derive(Debug)]
pub struct Moto {
    _peer: Peer,
    address: SocketAddr,
    dir: PathBuf,
}

impl Moto {
    /// Starts it on a free port, with its files in `dir`.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not come up.
    pub fn start(dir: &Path) -> io::Result<Self> {
        let log = dir.join("moto.log");
        let mut command = python::module("moto.server")?;
        command.args(["-H", "127.0.0.1", "-p", "0"]);
        // Its stand-in for managed policies takes seconds to load, and nobody attaches one.
        command.env("MOTO_IAM_LOAD_MANAGED_POLICIES", "false");
        let mut peer = Peer::start(command, "python3-venv", &log)?;
        let address = || {
            let said = std::fs::read_to_string(&log).ok()?;
            let behind = said.split_once("Running on http://")?.1;
            behind.split_whitespace().next()?.parse().ok()
        };
        let mut found = None;
        peer.wait_until(|| {
            found = address();
            found.is_some()
        })?;
        let address = found.ok_or_else(|| io::Error::other("moto told no address"))?;
        Ok(Self { _peer: peer, address, dir: dir.to_owned() })
    }

    /// What `AWS_ENDPOINT_URL` is to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The variables with which a program uses it and nothing else.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let nowhere = self.dir.join("no-such-file").display().to_string();
        vec![
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_REGION", REGION.into()),
            // The name by which version 1 of the AWS CLI knows it.
            ("AWS_DEFAULT_REGION", REGION.into()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_CONFIG_FILE", nowhere.clone()),
            ("AWS_SHARED_CREDENTIALS_FILE", nowhere),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("NO_PROXY", "127.0.0.1".into()),
        ]
    }

    /// Makes a public hosted zone with the AWS CLI.
    ///
    /// # Errors
    ///
    /// See [`cli`](Self::cli).
    pub fn create_zone(&self, name: &str) -> io::Result<HostedZone> {
        let ask = ["route53", "create-hosted-zone", "--name", name, "--caller-reference", name];
        let made = self.cli(&ask)?;
        let id = made["HostedZone"]["Id"].as_str().and_then(|id| id.strip_prefix("/hostedzone/"));
        let id = id.ok_or_else(|| io::Error::other(format!("no zone was made: {made}")))?;
        Ok(HostedZone::new(self.address, id))
    }

    /// Runs the AWS CLI, `aws ARGS…`, and gives what it printed (JSON, or nothing).
    ///
    /// # Errors
    ///
    /// When it is not installed, or fails; the message has what it said.
    pub fn cli(&self, args: &[&str]) -> io::Result<serde_json::Value> {
        let mut command = python::module("awscli")?;
        command.args(["--output", "json"]).args(args).envs(self.environment());
        let output = command.output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("aws {}: {said}", args.join(" "))));
        }
        if output.stdout.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        serde_json::from_slice(&output.stdout).map_err(io::Error::other)
    }
}
