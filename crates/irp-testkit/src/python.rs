//! Programs from PyPI, which `cargo xtask test` installs into a folder of their own below `target/`.

use std::{io, path::Path, process::Command};

/// Their interpreter, from the root of the project. It is called with the name of a module, since the scripts beside it
/// carry the path of the folder in which they were installed, and a checkout may be moved.
const INTERPRETER: &str = "target/peers/python/bin/python";

/// The command that runs a module, such as `moto.server`.
///
/// # Errors
///
/// When nothing is installed; the message says what installs it.
pub fn module(name: &str) -> io::Result<Command> {
    let mut command = interpreter()?;
    command.args(["-m", name]);
    Ok(command)
}

/// The command that runs a script, which finds the packages.
///
/// # Errors
///
/// When nothing is installed; the message says what installs it.
pub fn script(path: &Path) -> io::Result<Command> {
    let mut command = interpreter()?;
    command.arg(path);
    Ok(command)
}

fn interpreter() -> io::Result<Command> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(INTERPRETER);
    if !path.is_file() {
        let message = format!("there is no {INTERPRETER}; run `cargo xtask test`, which installs it");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Ok(Command::new(path))
}
