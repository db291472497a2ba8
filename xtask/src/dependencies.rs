//! `cargo xtask dependencies`: what others wrote and irp takes in, compared with `deny.toml` by cargo-deny.
//!
//! Advisories are left to CI's weekly look: they need a repository that is not always within reach, and they change
//! without a change of ours.

use std::{fs, path::PathBuf, process::Command};

use crate::{cargo, stage, succeed, workspace};

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// A program that looks at our dependencies: exactly this version, so that a run tomorrow is the same as today's.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

/// Looks at licences, at who is not let in, and at where packages come from.
pub(crate) fn run() -> Result<(), String> {
    let deny = DENY.provide()?;
    stage("dependencies");
    let deny = || {
        let mut deny = Command::new(&deny);
        deny.arg("--locked").current_dir(workspace());
        deny
    };
    succeed(deny().args(["check", "licenses", "bans", "sources"]))?;
    // They are given to nobody, so their licences do not matter.
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml", "--config", "deny.toml"];
    succeed(deny().args(fuzz).args(["check", "bans", "sources"]))
}

impl Tool {
    /// Where it is; it is built below `target/` where it is missing.
    pub(crate) fn provide(&self) -> Result<PathBuf, String> {
        let Self { name, version } = self;
        let root = workspace().join("target/peers").join(name);
        let stamp = root.join("installed");
        if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == *version) {
            stage(&format!("building {name} {version}"));
            let mut install = cargo();
            // Optimised, it would take longer to build than it ever runs.
            install.args(["install", "--quiet", "--locked", "--debug", "--no-track", "--force", "--root"]);
            // Nothing of it is needed again.
            install.arg(&root).arg("--target-dir").arg(root.join("build")).arg(format!("{name}@{version}"));
            succeed(&mut install)?;
            fs::remove_dir_all(root.join("build")).map_err(|error| format!("{}: {error}", root.display()))?;
            fs::write(&stamp, version).map_err(|error| format!("{}: {error}", stamp.display()))?;
        }
        Ok(root.join("bin").join(name))
    }
}
