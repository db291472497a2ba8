//! The project's own tasks, run as `cargo xtask TASK`.
//!
//! No dependencies: it is what a new machine builds first, and it takes a second.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the one who runs it")]

mod assemble;
mod cross;
mod dependencies;
mod fuzz;
mod linux;
mod node;
mod npm;
mod peers;
mod python;
mod root;
mod sbom;
mod test;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const HELP: &str = "\
Usage: cargo xtask TASK

Tasks:
  test [--no-install] [--fuzz-seconds N] [-- CARGO_TEST_ARGS…]
        Install the programs that the tests need (Debian or Ubuntu, as root or with sudo; nothing is
        touched when all are there, and no service is started; packages of Python and Node, and the root
        of a machine that tests boot, go below target/), run all tests of the workspace, then each fuzz
        target for N seconds (default 10; 0 leaves them out).
        --no-install stops with the command to type instead of installing.
        Arguments behind -- go to cargo test, for instance: cargo xtask test -- -p irp-edge
  fuzz [--seconds N] [TARGET…]
        Run the named fuzz targets, or all of them, each for N seconds (default 60).
  npm PLATFORM=PROGRAM… [--out FOLDER]
        Pack the packages for npm, with these programs (default of FOLDER: target/npm).
  linux PROGRAM [--arch ARCH] [--pages-by PROGRAM] [--out FOLDER] [--mb-max N]
        Pack a .deb and a tarball with SHA256SUMS (default of FOLDER: target/packages), after a look at the
        program: it must need no glibc newer than 2.34, and have at most N MB (default 20). Man pages and
        completions are written by PROGRAM, or by another one that runs here.
  sbom [--out FOLDER]
        Write what the program is made of, as a document of CycloneDX (default of FOLDER: target/sbom), by
        cargo-cyclonedx, which is built below target/ where it is missing.
  assemble FOLDER --out FOLDER
        Make what a release has of what its jobs have built: programs in program-PLATFORM/, packages for Linux
        in packages-PLATFORM/. Adds archives, packages for npm, and SHA256SUMS of all that is in the other folder.
  cross [--profile PROFILE]
        Build irp for 64-bit ARM (default of PROFILE: dist) on Debian 12 for x86-64, run it by qemu,
        and look at it as linux does.
  dependencies
        Compare licences, names and sources of all dependencies with deny.toml, by cargo-deny, which is built
        below target/ where it is missing.
  help  Print this.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        [_, rest @ ..]
            if rest.iter().take_while(|arg| **arg != "--").any(|arg| matches!(*arg, "--help" | "-h")) =>
        {
            print!("{HELP}");
            Ok(())
        }
        ["test", rest @ ..] => test::Options::parse(rest).and_then(|options| test::run(&options)),
        ["fuzz", rest @ ..] => fuzz::Options::parse(rest).and_then(|options| fuzz::run(&options)),
        ["npm", rest @ ..] => npm::Options::parse(rest).and_then(|options| npm::run(&options)),
        ["linux", rest @ ..] => linux::Options::parse(rest).and_then(|options| linux::run(&options)),
        ["sbom", rest @ ..] => sbom::Options::parse(rest).and_then(|options| sbom::run(&options)),
        ["assemble", rest @ ..] => assemble::Options::parse(rest).and_then(|options| assemble::run(&options)),
        ["cross", rest @ ..] => cross::Options::parse(rest).and_then(|options| cross::run(&options)),
        ["dependencies"] => dependencies::run(),
        [] => Err(format!("which task?\n\n{HELP}")),
        [task, ..] => Err(format!("there is no task {task:?}\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn workspace() -> PathBuf {
    // Set by `cargo run`; so a checkout that was moved since it was built finds itself.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&own).parent().map_or_else(|| "..".into(), Path::to_owned)
}

/// The cargo that runs this task, in the workspace.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

/// Says what comes next, so that a long run can be followed.
fn stage(what: &str) {
    println!("\n== {what}");
}

/// Runs `command` to its end and turns anything but success into a message.
fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("{name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}")) }
}

/// Runs `command` to its end and gives what it printed.
fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{name}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        ));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{name} prints no text"))
}

/// Reads the number behind an option.
fn number(option: &str, value: Option<&&str>) -> Result<u64, String> {
    value.and_then(|value| value.parse().ok()).ok_or_else(|| format!("{option} wants a number of seconds"))
}
