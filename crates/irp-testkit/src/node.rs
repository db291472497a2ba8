//! Programs for Node.js, with the packages that `cargo xtask test` installs below `target/`.

use std::{io, path::Path, process::Command};

use crate::process::find;

/// Their packages, from the root of the project.
const PACKAGES: &str = "target/peers/node/node_modules";

/// The command that runs a script, which finds the packages.
///
/// # Errors
///
/// When nothing is installed; the message says what installs it.
pub fn script(path: &Path) -> io::Result<Command> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PACKAGES);
    if !packages.is_dir() {
        let message = format!("there is no {PACKAGES}; run `cargo xtask test`, which installs it");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let mut command = Command::new(find("node", "nodejs")?);
    command.arg(path).env("NODE_PATH", packages);
    Ok(command)
}
