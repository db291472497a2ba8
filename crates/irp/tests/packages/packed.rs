//! The packages, made by the project's own packer from this build.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use irp_testkit::process::find;
use tempfile::TempDir;

pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

pub(crate) const IRP: &str = env!("CARGO_BIN_EXE_irp");

/// What Node calls this machine.
pub(crate) const PLATFORM: &str = match std::env::consts::ARCH.as_bytes() {
    b"aarch64" => "linux-arm64",
    _ => "linux-x64",
};

/// A program made for tests is larger than one that is shipped, in MB.
const MB_MAX: &str = "150";

/// The program without what a debugger needs, which would take longer to pack than everything else here.
pub(crate) struct Stripped {
    folder: TempDir,
    pub(crate) program: PathBuf,
}

pub(crate) static STRIPPED: LazyLock<Stripped> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("irp");
    let strip = find("strip", "binutils").unwrap();
    well(Command::new(strip).arg(IRP).arg("-o").arg(&program));
    Stripped { folder, program }
});

/// The tarballs for npm: of the launcher, and of this platform's program.
pub(crate) struct Npm {
    pub(crate) launcher: PathBuf,
    pub(crate) program: PathBuf,
}

pub(crate) static NPM: LazyLock<Npm> = LazyLock::new(|| {
    find("npm", "npm").unwrap();
    let out = STRIPPED.folder.path().join("npm");
    let program = format!("{PLATFORM}={}", STRIPPED.program.display());
    well(xtask("npm").arg(program).arg("--out").arg(&out));
    let version = env!("CARGO_PKG_VERSION");
    Npm {
        launcher: out.join(format!("instant-reverse-proxy-{version}.tgz")),
        program: out.join(format!("instant-reverse-proxy-{PLATFORM}-{version}.tgz")),
    }
});

/// The tarball for npm of Windows' program; for its place in the package, any file will do.
pub(crate) static WINDOWS: LazyLock<PathBuf> = LazyLock::new(|| {
    find("npm", "npm").unwrap();
    let out = STRIPPED.folder.path().join("npm-windows");
    let program = STRIPPED.folder.path().join("irp.exe");
    fs::write(&program, "MZ").unwrap();
    well(xtask("npm").arg(format!("win32-x64={}", program.display())).arg("--out").arg(&out));
    out.join(format!("instant-reverse-proxy-win32-x64-{}.tgz", env!("CARGO_PKG_VERSION")))
});

/// The package for Debian, with this program.
pub(crate) static DEBIAN: LazyLock<PathBuf> = LazyLock::new(|| {
    let out = STRIPPED.folder.path().join("linux");
    debian(&STRIPPED.program, &out)
});

/// Packs `program` for Debian, in a folder which is made.
pub(crate) fn debian(program: &Path, out: &Path) -> PathBuf {
    find("dpkg-deb", "dpkg").unwrap();
    find("readelf", "binutils").unwrap();
    let mut pack = xtask("linux");
    well(pack.arg(program).args(["--pages-by", IRP, "--mb-max", MB_MAX, "--out"]).arg(out));
    let mut names = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    names.find(|path| path.extension().is_some_and(|extension| extension == "deb")).unwrap()
}

/// A task of the project, called from its folder.
pub(crate) fn xtask(task: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(ROOT).args(["run", "--quiet", "--manifest-path"]);
    cargo.arg(format!("{ROOT}/Cargo.toml")).args(["--package", "xtask", "--", task]);
    cargo
}

/// Runs a command that has to succeed.
pub(crate) fn well(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    output
}

/// All that a program has printed.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
