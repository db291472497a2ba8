//! Programs for Node.js, with the packages that `cargo xtask test` installs below `target/`.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::find;

/// Their packages, from the root of the project.
const PACKAGES: &str = "target/peers/node/node_modules";

/// The command that runs a script, which finds the packages.
///
/// # Errors
///
/// When nothing is installed; the message says what installs it.
pub fn script(path: &Path) -> io::Result<Command> {
    let packages = installed("")?;
    let mut command = Command::new(find("node", "nodejs")?);
    command.arg(path).env("NODE_PATH", packages);
    Ok(command)
}

/// A program that one of the packages brings.
///
/// # Errors
///
/// When it is not installed; the message says what installs it.
pub fn program(name: &str) -> io::Result<PathBuf> {
    installed(&format!(".bin/{name}"))
}

fn installed(what: &str) -> io::Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PACKAGES).join(what);
    if path.exists() {
        return Ok(path);
    }
    let message = format!("there is no {PACKAGES}/{what}; run `cargo xtask test`, which installs it");
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}
