//! `cargo xtask fuzz`: the targets of `fuzz/`, on the stable toolchain.
//!
//! The folder has the layout of cargo-fuzz, which runs it too: one program for each `fuzz_targets/NAME.rs`, what
//! it has learned under `corpus/NAME`, checked-in beginnings under `seeds/NAME`, and inputs that broke something
//! under `artifacts/NAME`. cargo-fuzz itself is not needed: the coverage that steers libFuzzer is a pass of LLVM
//! that stable compilers have as well, and the sanitizers that they lack find nothing in code without `unsafe`.

use std::{fs, path::Path, process::Command};

use crate::{cargo, number, stage, succeed, workspace};

/// How long a target runs when nobody says otherwise.
const SECONDS: u64 = 60;

/// The longest input that is tried, in bytes: the hello, the longest thing fuzzed, is at most 4 KiB.
const LONGEST: u64 = 8192;

/// An input that takes longer than this, in seconds, is a finding.
const SLOWEST: u64 = 5;

/// What makes the compiler count edges and trace comparisons for libFuzzer; debug assertions catch overflows.
const FLAGS: &str = "\
    --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions=yes -Ccodegen-units=1";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    seconds: u64,
    targets: Vec<String>,
}

impl Options {
    /// All targets, each for this long.
    pub(crate) fn all(seconds: u64) -> Self {
        Self { seconds, targets: Vec::new() }
    }

    pub(crate) fn parse(args: &[&str]) -> Result<Self, String> {
        let mut options = Self::all(SECONDS);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--seconds" => options.seconds = number(arg, args.next())?,
                option if option.starts_with('-') => return Err(format!("unknown option {option:?}")),
                target => options.targets.push(target.to_owned()),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let folder = workspace().join("fuzz");
    let known = targets(&folder)?;
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    if let Some(unknown) = chosen.iter().find(|target| !known.contains(target)) {
        return Err(format!("there is no target {unknown:?}, but: {}", known.join(", ")));
    }
    if chosen.is_empty() {
        println!("\nno fuzz targets");
        return Ok(());
    }
    stage("building the fuzz targets");
    let host = host()?;
    succeed(
        cargo()
            .args(["build", "--release", "--bins", "--manifest-path", "fuzz/Cargo.toml"])
            // Named although it is the default: else the flags would hold for build scripts too, which have no
            // libFuzzer to link with.
            .args(["--target", &host, "--target-dir", "fuzz/target"])
            .env("RUSTFLAGS", FLAGS),
    )?;
    let programs = folder.join("target").join(host).join("release");
    let mut failed = Vec::new();
    for target in chosen {
        stage(&format!("fuzzing {target} for {} s", options.seconds));
        if let Err(message) = attack(&folder, &programs, target, options.seconds) {
            failed.push(format!("{target} ({message})"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
}

/// The platform of this machine, as the compiler calls it.
fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .current_dir(workspace())
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(ToOwned::to_owned).ok_or_else(|| "rustc does not tell its host".to_owned())
}

/// The names of the targets, sorted; none where there is no such folder.
fn targets(folder: &Path) -> Result<Vec<String>, String> {
    let folder = folder.join("fuzz_targets");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn attack(folder: &Path, programs: &Path, target: &str, seconds: u64) -> Result<(), String> {
    let (corpus, artifacts) = (folder.join("corpus").join(target), folder.join("artifacts").join(target));
    for needed in [&corpus, &artifacts] {
        fs::create_dir_all(needed).map_err(|error| format!("{}: {error}", needed.display()))?;
    }
    let mut command = Command::new(programs.join(target));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-timeout={SLOWEST}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // Steers by how close a comparison was, too: it finds magic numbers and lengths that coverage alone does not.
        .arg("-use_value_profile=1")
        .args(["-verbosity=0", "-print_final_stats=1"])
        .arg(&corpus);
    let seeds = folder.join("seeds").join(target);
    if seeds.exists() {
        command.arg(seeds);
    }
    succeed(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_targets_are_told_apart() {
        let options = Options::parse(&["hello", "--seconds", "5", "sniff"]);
        assert_eq!(
            options,
            Ok(Options { seconds: 5, targets: vec!["hello".to_owned(), "sniff".to_owned()] })
        );
        assert!(Options::parse(&["--second", "5"]).is_err());
    }

    #[test]
    fn targets_are_the_programs_of_the_folder() {
        let folder = std::env::temp_dir().join(format!("irp-xtask-{}", std::process::id()));
        assert_eq!(targets(&folder), Ok(Vec::new()));
        fs::create_dir_all(folder.join("fuzz_targets")).unwrap();
        for name in ["b.rs", "a.rs", "note.md"] {
            fs::write(folder.join("fuzz_targets").join(name), "").unwrap();
        }
        let found = targets(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, Ok(vec!["a".to_owned(), "b".to_owned()]));
    }
}
