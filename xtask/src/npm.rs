//! `cargo xtask npm`: the packages for npm, from programs that were built before.
//!
//! `instant-reverse-proxy` is a launcher; the program is in a package of its own for each platform, of which npm
//! installs the one that fits. Nothing is downloaded by a script, so it works where scripts are forbidden, behind
//! mirrors, and offline.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{stage, succeed, workspace};

/// The version of all packages.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What stands for it in the launcher's package.json.
const PLACEHOLDER: &str = "\"0.0.0\"";

/// What Node calls a platform, and what npm compares with a machine.
struct Platform {
    name: &'static str,
    os: &'static str,
    cpu: &'static str,
    libc: Option<&'static str>,
    /// What the program is called there.
    file: &'static str,
}

const PLATFORMS: &[Platform] = &[
    Platform { name: "darwin-arm64", os: "darwin", cpu: "arm64", libc: None, file: "irp" },
    Platform { name: "darwin-x64", os: "darwin", cpu: "x64", libc: None, file: "irp" },
    Platform { name: "linux-arm64", os: "linux", cpu: "arm64", libc: Some("glibc"), file: "irp" },
    Platform { name: "linux-x64", os: "linux", cpu: "x64", libc: Some("glibc"), file: "irp" },
    Platform { name: "win32-x64", os: "win32", cpu: "x64", libc: None, file: "irp.exe" },
];

/// What the platforms are called.
pub(crate) fn platforms() -> impl Iterator<Item = &'static str> {
    PLATFORMS.iter().map(|platform| platform.name)
}

impl Platform {
    fn named(name: &str) -> Result<&'static Self, String> {
        let known = || platforms().collect::<Vec<_>>().join(", ");
        let found = PLATFORMS.iter().find(|platform| platform.name == name);
        found.ok_or_else(|| format!("there is no platform {name:?}, but: {}", known()))
    }

    fn manifest(&self) -> String {
        let Self { name, os, cpu, libc, .. } = self;
        let libc = libc.map(|libc| format!("  \"libc\": [\"{libc}\"],\n")).unwrap_or_default();
        format!(
            "{{\n  \"name\": \"@instant-reverse-proxy/{name}\",\n  \"version\": \"{VERSION}\",\n  \
             \"description\": \"The program of instant-reverse-proxy for {name}\",\n  \
             \"license\": \"MIT OR Apache-2.0\",\n  \"repository\": {{ \"type\": \"git\", \"url\": \
             \"git+https://github.com/instant-reverse-proxy/irp.git\" }},\n  \"os\": [\"{os}\"],\n  \
             \"cpu\": [\"{cpu}\"],\n{libc}  \"preferUnplugged\": true,\n  \"files\": [\"bin\", \"LICENSE-APACHE\", \
             \"LICENSE-MIT\"]\n}}\n"
        )
    }
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    programs: Vec<(String, PathBuf)>,
    out: PathBuf,
}

impl Options {
    pub(crate) fn parse(args: &[&str]) -> Result<Self, String> {
        let mut options = Self { programs: Vec::new(), out: workspace().join("target/npm") };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if *arg == "--out" {
                options.out = args.next().ok_or("--out wants a folder")?.into();
                continue;
            }
            let (platform, program) = arg.split_once('=').ok_or_else(|| {
                format!("{arg:?} is no PLATFORM=PROGRAM, such as linux-x64=target/dist/irp")
            })?;
            options.programs.push((Platform::named(platform)?.name.to_owned(), program.into()));
        }
        if options.programs.is_empty() {
            return Err("which programs? PLATFORM=PROGRAM, such as linux-x64=target/dist/irp".to_owned());
        }
        Ok(options)
    }
}

/// Writes a tarball of each package into the folder.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    pack(&options.programs, &options.out)
}

/// The same for these programs, each with its platform.
pub(crate) fn pack(programs: &[(String, PathBuf)], out: &Path) -> Result<(), String> {
    fs::create_dir_all(out).map_err(|error| in_words(out, &error))?;
    // To npm, `npm/linux-x64` would be a repository of GitHub.
    let out = &out.canonicalize().map_err(|error| in_words(out, &error))?;
    let mut folders = vec![launcher(out)?];
    for (platform, program) in programs {
        folders.push(of_platform(Platform::named(platform)?, program, out)?);
    }
    stage("packing");
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.args(["pack", "--loglevel=error", "--pack-destination"]).arg(out).args(&folders);
    succeed(&mut npm)
}

fn launcher(out: &Path) -> Result<PathBuf, String> {
    let from = workspace().join("packaging/npm/instant-reverse-proxy");
    let to = fresh(out, "instant-reverse-proxy")?;
    for folder in ["bin", "lib"] {
        fs::create_dir(to.join(folder)).map_err(|error| in_words(&to.join(folder), &error))?;
        for entry in fs::read_dir(from.join(folder)).map_err(|error| in_words(&from, &error))? {
            let path = entry.map_err(|error| in_words(&from, &error))?.path();
            copy(&path, &to.join(folder).join(path.file_name().unwrap_or_default()))?;
        }
    }
    copy(&from.join("README.md"), &to.join("README.md"))?;
    let manifest = from.join("package.json");
    let manifest = fs::read_to_string(&manifest).map_err(|error| in_words(&manifest, &error))?;
    write(&to.join("package.json"), &manifest.replace(PLACEHOLDER, &format!("\"{VERSION}\"")))?;
    Ok(to)
}

fn of_platform(platform: &Platform, program: &Path, out: &Path) -> Result<PathBuf, String> {
    let to = fresh(out, platform.name)?;
    let bin = to.join("bin");
    fs::create_dir(&bin).map_err(|error| in_words(&bin, &error))?;
    copy(program, &bin.join(platform.file))?;
    executable(&bin.join(platform.file))?;
    write(&to.join("package.json"), &platform.manifest())?;
    let about =
        format!("The program of instant-reverse-proxy for {}: install that package.\n", platform.name);
    write(&to.join("README.md"), &about)?;
    Ok(to)
}

/// An empty folder with the licences.
fn fresh(out: &Path, name: &str) -> Result<PathBuf, String> {
    let folder = out.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| in_words(&folder, &error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| in_words(&folder, &error))?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        copy(&workspace().join(licence), &folder.join(licence))?;
    }
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(|_| ()).map_err(|error| in_words(from, &error))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| in_words(path, &error))
}

fn in_words(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// A program that came as an artefact of CI has lost its mode.
#[cfg(unix)]
fn executable(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;

    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| in_words(path, &error))
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_and_the_table_name_the_same_platforms() {
        let manifest = workspace().join("packaging/npm/instant-reverse-proxy/package.json");
        let manifest = fs::read_to_string(manifest).unwrap();
        let named: Vec<_> =
            manifest.lines().filter_map(|line| line.trim().strip_prefix("\"@instant")).collect();
        assert_eq!(named.len(), PLATFORMS.len());
        for platform in PLATFORMS {
            assert!(named.iter().any(|line| line.contains(&format!("/{}\": {PLACEHOLDER}", platform.name))));
        }
    }

    #[test]
    fn a_program_is_named_with_its_platform() {
        let options = Options::parse(&["linux-x64=a/irp", "--out", "o"]);
        let programs = vec![("linux-x64".to_owned(), "a/irp".into())];
        assert_eq!(options, Ok(Options { programs, out: "o".into() }));
        for wrong in [&["a/irp"][..], &["linux-x86=a"], &[], &["--out"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
