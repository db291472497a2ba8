//! `cargo xtask linux`: a package for Debian and Ubuntu and a tarball, from a program that was built before.
//!
//! The tools are those of the system: `dpkg-deb`, `tar`, `gzip`, `readelf`. Times in the artefacts are that of the last
//! commit, owners are root, names are sorted: the same program gives the same bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{said, stage, succeed, workspace};

/// The newest version of glibc that a program may need: that of Amazon Linux 2023, which has to run it.
const GLIBC_NEWEST: (u32, u32) = (2, 34);

/// The largest program, in MB: it is downloaded at each boot of a machine.
pub(crate) const MB_MAX: u64 = 20;

/// A file of the packages: where it is in the project, where it goes, and its mode.
struct File(&'static str, &'static str, u32);

const FILES: &[File] = &[
    File("packaging/deb/edge.toml", "etc/irp/edge.toml", 0o644),
    File("packaging/systemd/irp-edge.service", "usr/lib/systemd/system/irp-edge.service", 0o644),
    File("packaging/systemd/irp-edge.sysusers", "usr/lib/sysusers.d/irp-edge.conf", 0o644),
    File("docs/edge.toml", "usr/share/doc/irp/edge.toml", 0o644),
    File("docs/any-host.md", "usr/share/doc/irp/any-host.md", 0o644),
    File("packaging/deb/copyright", "usr/share/doc/irp/copyright", 0o644),
    File("LICENSE-APACHE", "usr/share/doc/irp/LICENSE-APACHE", 0o644),
    File("LICENSE-MIT", "usr/share/doc/irp/LICENSE-MIT", 0o644),
];

/// Where each shell looks for what completes its commands.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/irp"),
    ("zsh", "usr/share/zsh/vendor-completions/_irp"),
    ("fish", "usr/share/fish/vendor_completions.d/irp.fish"),
];

const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    program: PathBuf,
    pages_by: PathBuf,
    arch: &'static str,
    out: PathBuf,
    mb_max: u64,
}

impl Options {
    pub(crate) fn parse(args: &[&str]) -> Result<Self, String> {
        let (mut program, mut pages_by) = (None, None);
        let (mut out, mut mb_max) = (workspace().join("target/packages"), MB_MAX);
        let mut arch = debian(std::env::consts::ARCH)?;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants something behind it"));
            match *arg {
                "--pages-by" => pages_by = Some(PathBuf::from(value()?)),
                "--arch" => arch = debian(value()?)?,
                "--out" => out = value()?.into(),
                "--mb-max" => mb_max = value()?.parse().map_err(|_| "--mb-max wants a number".to_owned())?,
                option if option.starts_with('-') => return Err(format!("unknown option {option:?}")),
                file => program = Some(PathBuf::from(file)),
            }
        }
        let program = program.ok_or("which program? such as target/dist/irp")?;
        Ok(Self { pages_by: pages_by.unwrap_or_else(|| program.clone()), program, arch, out, mb_max })
    }
}

/// Debian's word for an architecture, by its own or the compiler's.
fn debian(arch: &str) -> Result<&'static str, String> {
    match arch {
        "x86_64" | "amd64" => Ok("amd64"),
        "aarch64" | "arm64" => Ok("arm64"),
        other => Err(format!("irp is not packaged for {other}")),
    }
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    stage("looking at the program");
    inspect(&options.program, options.mb_max)?;
    stage("packing");
    let tree = options.out.join(format!("tree-{}", options.arch));
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(|error| in_words(&tree, &error))?;
    }
    grow(&tree, options)?;
    control(&tree, options.arch)?;
    // The umask of whoever packs is in neither.
    succeed(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(&tree))?;
    let version = env!("CARGO_PKG_VERSION");
    let tarball = options.out.join(format!("irp-{version}-linux-{}.tar.gz", options.arch));
    archive(&tree, &["etc", "usr"], &tarball)?;
    let package = options.out.join(format!("irp_{version}_{}.deb", options.arch));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(&tree).arg(&package);
    succeed(build.env("SOURCE_DATE_EPOCH", epoch()))?;
    sums(&options.out, |name| name.ends_with(".deb") || name.ends_with(".tar.gz"))
}

/// Refuses a program that would not start on the oldest host, or is too large.
pub(crate) fn inspect(program: &Path, mb_max: u64) -> Result<(), String> {
    let needs = said(Command::new("readelf").args(["--version-info", "--wide"]).arg(program))?;
    let newest = newest_glibc(&needs);
    if let Some(newest) = newest.filter(|newest| *newest > GLIBC_NEWEST) {
        return Err(format!(
            "it needs GLIBC_{}.{}, which Amazon Linux 2023 does not have",
            newest.0, newest.1
        ));
    }
    let mb = fs::metadata(program).map_err(|error| in_words(program, &error))?.len().div_ceil(1_000_000);
    if mb > mb_max {
        return Err(format!("it has {mb} MB, more than {mb_max}"));
    }
    let glibc = newest.map_or("no glibc".to_owned(), |(major, minor)| format!("GLIBC_{major}.{minor}"));
    println!("{}: {mb} MB, needs {glibc}", program.display());
    Ok(())
}

/// The newest `GLIBC_x.y` that is named.
fn newest_glibc(needs: &str) -> Option<(u32, u32)> {
    let versions = needs.split("GLIBC_").skip(1).filter_map(|rest| {
        let version = rest.split(|letter: char| letter != '.' && !letter.is_ascii_digit()).next()?;
        let mut numbers = version.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    versions.max()
}

/// Everything that is installed.
fn grow(tree: &Path, options: &Options) -> Result<(), String> {
    put(&read(&options.program)?, &tree.join("usr/bin/irp"), 0o755)?;
    for File(from, to, mode) in FILES {
        put(&read(&workspace().join(from))?, &tree.join(to), *mode)?;
    }
    let changes = tree.join("usr/share/doc/irp/changelog");
    put(&read(&workspace().join("CHANGELOG.md"))?, &changes, 0o644)?;
    let pages = tree.join("usr/share/man/man1");
    succeed(Command::new(&options.pages_by).arg("pages").arg(&pages))?;
    let mut gzip = Command::new("gzip");
    gzip.args(["-9", "--no-name"]).arg(&changes);
    for entry in fs::read_dir(&pages).map_err(|error| in_words(&pages, &error))? {
        gzip.arg(entry.map_err(|error| in_words(&pages, &error))?.path());
    }
    succeed(&mut gzip)?;
    for (shell, to) in COMPLETIONS {
        let script = said(Command::new(&options.pages_by).args(["completions", shell]))?;
        put(script.as_bytes(), &tree.join(to), 0o644)?;
    }
    Ok(())
}

/// Packs what a folder has by these names; the same files give the same bytes.
pub(crate) fn archive(folder: &Path, names: &[&str], tarball: &Path) -> Result<(), String> {
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--owner=root:0",
        "--group=root:0",
        "--numeric-owner",
        "--format=gnu",
    ]);
    tar.arg(format!("--mtime=@{}", epoch())).args(["--use-compress-program", "gzip -9 --no-name"]);
    tar.arg("--file").arg(tarball).arg("--directory").arg(folder);
    succeed(tar.args(names))
}

/// What dpkg wants to know.
fn control(tree: &Path, arch: &str) -> Result<(), String> {
    let folder = tree.join("DEBIAN");
    let size =
        said(Command::new("du").args(["--summarize", "--apparent-size", "--block-size=1K"]).arg(tree))?;
    let size = size.split_whitespace().next().unwrap_or_default().to_owned();
    let version = env!("CARGO_PKG_VERSION");
    let control = format!(
        "Package: irp\nVersion: {version}\nArchitecture: {arch}\nMaintainer: the irp authors \
         <irp@users.noreply.github.com>\nInstalled-Size: {size}\nDepends: libc6 (>= {}.{}), libgcc-s1\n\
         Recommends: ca-certificates, systemd\nSuggests: openssh-server\nSection: net\nPriority: optional\n\
         Homepage: https://github.com/instant-reverse-proxy/irp\n\
         Description: public HTTPS URL for a program on your PC\n \
         Both ends are yours: the edge, a server of your own, and irp on your PC, which connects to\n \
         it and forwards what visitors send. This package has both, and a unit for the edge.\n",
        GLIBC_NEWEST.0, GLIBC_NEWEST.1,
    );
    put(control.as_bytes(), &folder.join("control"), 0o644)?;
    let kept: Vec<_> = FILES.iter().filter(|file| file.1.starts_with("etc/")).collect();
    let kept: String = kept.iter().map(|File(_, to, _)| format!("/{to}\n")).collect();
    put(kept.as_bytes(), &folder.join("conffiles"), 0o644)?;
    for script in SCRIPTS {
        put(&read(&workspace().join("packaging/deb").join(script))?, &folder.join(script), 0o755)?;
    }
    Ok(())
}

/// What the file with the hashes is called.
const SUMS: &str = "SHA256SUMS";

/// `SHA256SUMS` of those files in the folder that are given to people.
pub(crate) fn sums(out: &Path, is_given: impl Fn(&str) -> bool) -> Result<(), String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(out).map_err(|error| in_words(out, &error))? {
        let entry = entry.map_err(|error| in_words(out, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && name != SUMS && is_given(&name) {
            names.push(name);
        }
    }
    names.sort();
    let sums = said(Command::new("sha256sum").arg("--").args(names).current_dir(out))?;
    print!("{sums}");
    put(sums.as_bytes(), &out.join(SUMS), 0o644)
}

/// The time of the last commit, in UNIX seconds; 0 outside of a checkout.
pub(crate) fn epoch() -> String {
    let told = said(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(workspace()));
    told.map(|seconds| seconds.trim().to_owned()).unwrap_or_else(|_| "0".to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| in_words(path, &error))
}

fn put(bytes: &[u8], path: &Path, wanted: u32) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|error| in_words(folder, &error))?;
    fs::write(path, bytes).map_err(|error| in_words(path, &error))?;
    mode(path, wanted)
}

#[cfg(unix)]
fn mode(path: &Path, mode: u32) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;

    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| in_words(path, &error))
}

#[cfg(not(unix))]
fn mode(_: &Path, _: u32) -> Result<(), String> {
    Err("packages for Linux are made on Linux".to_owned())
}

fn in_words(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_glibc_is_found_by_its_numbers() {
        let needs = "  0x0010: Name: GLIBC_2.9  Flags\n Name: GLIBC_2.34 \n Name: GLIBC_2.4\n (GLIBC_2.2.5)";
        assert_eq!(newest_glibc(needs), Some((2, 34)));
        assert_eq!(newest_glibc("Name: GCC_3.0"), None);
    }

    #[test]
    fn each_file_of_the_packages_is_there() {
        for File(from, ..) in FILES {
            assert!(workspace().join(from).is_file(), "{from}");
        }
        for script in SCRIPTS {
            let script = workspace().join("packaging/deb").join(script);
            assert!(
                Command::new("sh").arg("-n").arg(&script).status().unwrap().success(),
                "{}",
                script.display()
            );
        }
    }

    #[test]
    fn a_program_and_an_architecture_are_asked_for() {
        let options =
            Options::parse(&["irp", "--arch", "aarch64", "--out", "o", "--pages-by", "other"]).unwrap();
        assert_eq!((options.arch, options.out, options.pages_by), ("arm64", "o".into(), "other".into()));
        for wrong in [&[][..], &["irp", "--arch", "mips"], &["irp", "--out"], &["irp", "--fast"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
