//! `cargo xtask dependencies`: what others wrote and irp takes in, compared with `deny.toml` by cargo-deny.
//!
//! Advisories are left to CI's weekly look: they need a repository that is not always within reach, and they change
//! without a change of ours.

use std::{fs, process::Command};

use crate::{cargo, stage, succeed, workspace};

/// Exactly this version, so that a run tomorrow is the same as today's.
const VERSION: &str = "0.20.2";

/// Looks at licences, at who is not let in, and at where packages come from.
pub(crate) fn run() -> Result<(), String> {
    stage("dependencies");
    let root = workspace().join("target/peers/cargo-deny");
    let stamp = root.join("installed");
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == VERSION) {
        println!("installing cargo-deny {VERSION}");
        let mut install = cargo();
        // Optimised, it would take longer to build than it ever runs.
        install
            .args(["install", "--quiet", "--locked", "--debug", "--no-track", "--force", "--root"])
            .arg(&root);
        // Nothing of it is needed again.
        install.arg("--target-dir").arg(root.join("build")).arg(format!("cargo-deny@{VERSION}"));
        succeed(&mut install)?;
        fs::remove_dir_all(root.join("build")).map_err(|error| format!("{}: {error}", root.display()))?;
        fs::write(&stamp, VERSION).map_err(|error| format!("{}: {error}", stamp.display()))?;
    }
    let mut deny = Command::new(root.join("bin/cargo-deny"));
    deny.args(["--locked", "check", "licenses", "bans", "sources"]).current_dir(workspace());
    succeed(&mut deny)
}
