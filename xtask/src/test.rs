//! `cargo xtask test`: everything that must hold, from a bare machine.

use std::time::Instant;

use crate::{cargo, fuzz, node, number, peers, python, root, stage, succeed};

/// How long each fuzz target runs as part of the tests: enough to run over its seeds and some way beyond.
const FUZZ_SECONDS: u64 = 10;

/// Tests at a time for each processor: most of them wait for the programs that they have started.
const TESTS_PER_PROCESSOR: usize = 2;

/// The variable by which somebody says how many it shall be.
const THREADS: &str = "RUST_TEST_THREADS";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    install: bool,
    fuzz_seconds: u64,
    cargo_test: Vec<String>,
}

impl Options {
    pub(crate) fn parse(args: &[&str]) -> Result<Self, String> {
        let mut options = Self { install: true, fuzz_seconds: FUZZ_SECONDS, cargo_test: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--no-install" => options.install = false,
                "--fuzz-seconds" => options.fuzz_seconds = number(arg, args.next())?,
                "--" => options.cargo_test = args.by_ref().map(ToString::to_string).collect(),
                other => {
                    return Err(format!(
                        "unknown argument {other:?}; arguments for cargo test come behind --"
                    ));
                }
            }
        }
        Ok(options)
    }

    /// The whole workspace, unless packages are named: beside `--workspace`, cargo would not heed them.
    fn scope(&self) -> Option<&'static str> {
        let own = self.cargo_test.iter().take_while(|arg| *arg != "--");
        let named = own.into_iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"));
        if named { None } else { Some("--workspace") }
    }
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    stage("the programs that the tests talk to");
    peers::provide(options.install)?;
    python::provide(options.install)?;
    node::provide(options.install)?;
    root::provide(options.install)?;

    let mut failed = Vec::new();
    let since = Instant::now();
    stage("cargo test");
    let mut tests = cargo();
    // One run shows everything that is broken, not only the first thing.
    tests.args(["test", "--no-fail-fast"]).args(options.scope()).args(&options.cargo_test);
    if std::env::var_os(THREADS).is_none() {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        tests.env(THREADS, (processors * TESTS_PER_PROCESSOR).to_string());
    }
    let tests = succeed(&mut tests);
    println!("\n{} s", since.elapsed().as_secs());
    if let Err(message) = tests {
        failed.push(format!("tests ({message})"));
    }
    if options.fuzz_seconds > 0
        && let Err(message) = fuzz::run(&fuzz::Options::all(options.fuzz_seconds))
    {
        failed.push(format!("fuzz targets ({message})"));
    }
    if failed.is_empty() {
        stage("all is well");
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_behind_the_dashes_are_for_cargo() {
        let options =
            Options::parse(&["--no-install", "--fuzz-seconds", "3", "--", "-p", "irp", "--", "--nocapture"]);
        let cargo_test = ["-p", "irp", "--", "--nocapture"].map(str::to_owned).to_vec();
        assert_eq!(options, Ok(Options { install: false, fuzz_seconds: 3, cargo_test }));
    }

    #[test]
    fn the_whole_workspace_is_tested_unless_packages_are_named() {
        let scope = |args: &[&str]| Options::parse(args).unwrap().scope();
        assert_eq!(scope(&[]), Some("--workspace"));
        assert_eq!(scope(&["--", "hello", "--", "-p"]), Some("--workspace"));
        assert_eq!(scope(&["--", "--package=irp"]), None);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for args in [vec!["--fuzz-seconds"], vec!["--fuzz-seconds", "soon"], vec!["-p", "irp"]] {
            assert!(Options::parse(&args).is_err(), "{args:?}");
        }
    }
}
