//! Programs from PyPI, which `cargo xtask test` installs into a folder of their own below `target/`.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

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

/// The folder in which the packages are, for somebody who wants to put some of them on another machine.
///
/// # Errors
///
/// When nothing is installed; the message says what installs it.
pub fn packages() -> io::Result<PathBuf> {
    let output =
        interpreter()?.args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().into())
}

/// A program that one of the packages brings; not a script, see [`module`].
///
/// # Errors
///
/// When nothing is installed; the message says what installs it.
pub fn program(name: &str) -> io::Result<PathBuf> {
    installed(&format!("target/peers/python/bin/{name}"))
}

/// The interpreter that finds the packages.
///
/// # Errors
///
/// When nothing is installed; the message says what installs it.
pub fn interpreter() -> io::Result<Command> {
    installed(INTERPRETER).map(Command::new)
}

fn installed(what: &str) -> io::Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(what);
    if path.is_file() {
        return Ok(path);
    }
    let message = format!("there is no {what}; run `cargo xtask test`, which installs it");
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}
