//! `cargo xtask assemble`: what a release gives to people, from what its jobs have built on machines of each kind.
//!
//! The same programs give the same bytes, as in `linux`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    linux::{archive, epoch, sums},
    npm::{pack, platforms},
    stage, succeed,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    artifacts: PathBuf,
    out: PathBuf,
}

impl Options {
    pub(crate) fn parse(args: &[&str]) -> Result<Self, String> {
        match args {
            [artifacts, "--out", out] if !artifacts.starts_with('-') => {
                Ok(Self { artifacts: artifacts.into(), out: out.into() })
            }
            _ => Err("from where, and where to? such as artifacts --out out".to_owned()),
        }
    }
}

/// Fills the folder; what was there before stays, and is summed up too.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let Options { artifacts, out } = options;
    fs::create_dir_all(out).map_err(|error| in_words(out, &error))?;
    stage("packages for Linux");
    for folder in folders(artifacts, "packages-")? {
        for package in files(&folder.path)? {
            copy(&package, out)?;
        }
    }
    stage("archives");
    let programs = programs(artifacts)?;
    for (platform, program) in &programs {
        // Artefacts of CI have lost their modes, and archives would keep their times.
        succeed(Command::new("chmod").arg("755").arg(program))?;
        succeed(Command::new("touch").arg(format!("--date=@{}", epoch())).arg(program))?;
        put(platform, program, out)?;
    }
    let folder = out.join("npm");
    pack(&programs, &folder)?;
    for tarball in files(&folder)? {
        copy(&tarball, out)?;
    }
    fs::remove_dir_all(&folder).map_err(|error| in_words(&folder, &error))?;
    stage("hashes");
    sums(out, |_| true)
}

/// The program of each platform. A release without one of them would leave its people with what npm calls an optional
/// package that does not exist.
fn programs(artifacts: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let found = folders(artifacts, "program-")?;
    if let Some(other) = found.iter().find(|folder| !platforms().any(|platform| platform == folder.name)) {
        return Err(format!("there is no platform {:?}", other.name));
    }
    platforms()
        .map(|platform| {
            let folder = found.iter().find(|folder| folder.name == platform);
            let folder = folder.ok_or_else(|| format!("there is no program-{platform}"))?;
            let mut files = files(&folder.path)?;
            let program = files.pop().filter(|_| files.is_empty());
            let program = program.ok_or_else(|| format!("program-{platform} must have one file"))?;
            Ok((platform.to_owned(), program))
        })
        .collect()
}

/// What people download by hand, and machines at their boot: these take the program as it is.
fn put(platform: &str, program: &Path, out: &Path) -> Result<(), String> {
    let (folder, file) = (program.parent(), program.file_name().and_then(|name| name.to_str()));
    let (Some(folder), Some(file)) = (folder, file) else {
        return Err(format!("{} has no name", program.display()));
    };
    let name = format!("irp-{VERSION}-{platform}");
    if platform.starts_with("linux-") {
        let to = out.join(name);
        return fs::copy(program, &to).map(|_| ()).map_err(|error| in_words(&to, &error));
    }
    if !platform.starts_with("win32-") {
        return archive(folder, &[file], &out.join(format!("{name}.tar.gz")));
    }
    let to = out.join(format!("{name}.zip"));
    if to.exists() {
        // zip would add to it.
        fs::remove_file(&to).map_err(|error| in_words(&to, &error))?;
    }
    // Without the owner, and with a time of no zone.
    let mut zip = Command::new("zip");
    succeed(zip.args(["-X", "--quiet", "--junk-paths"]).arg(to).arg(program).env("TZ", "UTC"))
}

/// A folder of artefacts.
struct Folder {
    /// What stands behind the prefix.
    name: String,
    path: PathBuf,
}

/// Those that begin so, by their names.
fn folders(within: &Path, prefix: &str) -> Result<Vec<Folder>, String> {
    let mut found = Vec::new();
    for path in entries(within)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(name) = name.strip_prefix(prefix).filter(|_| path.is_dir()) {
            found.push(Folder { name: name.to_owned(), path });
        }
    }
    Ok(found)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_file()).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = fs::read_dir(folder).map_err(|error| in_words(folder, &error))?;
    let mut paths = listed
        .map(|entry| entry.map(|entry| entry.path()).map_err(|error| in_words(folder, &error)))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn copy(file: &Path, folder: &Path) -> Result<(), String> {
    let to = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, &to).map(|_| ()).map_err(|error| in_words(&to, &error))
}

fn in_words(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_folders_are_asked_for() {
        let options = Options::parse(&["a", "--out", "b"]);
        assert_eq!(options, Ok(Options { artifacts: "a".into(), out: "b".into() }));
        for wrong in [&[][..], &["a"], &["a", "b"], &["--out", "b"], &["--out", "a", "b"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
