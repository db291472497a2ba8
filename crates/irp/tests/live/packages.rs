//! The package for Debian: what is in it, and that systemd and dpkg take it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use irp_testkit::process::find;
use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

const IRP: &str = env!("CARGO_BIN_EXE_irp");

/// What is packed in irp's place: to pack a program made for tests would take a minute.
const PROGRAM: &str = "/bin/true";

/// The most that `systemd-analyze security` may find: 0 is a service that can do nothing, 10 one that can do all.
const EXPOSURE_MAX: f32 = 2.5;

/// The package, and what is in it.
struct Packed {
    folder: TempDir,
    package: PathBuf,
}

static PACKED: LazyLock<Packed> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    find("dpkg-deb", "dpkg").unwrap();
    find("readelf", "binutils").unwrap();
    let out = folder.path().join("packages");
    let mut pack = Command::new(env!("CARGO"));
    pack.current_dir(ROOT).args(["run", "--quiet", "--package", "xtask", "--", "linux"]);
    well(pack.args([PROGRAM, "--pages-by", IRP, "--out"]).arg(&out));
    let mut names = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let package = names.find(|path| path.extension().is_some_and(|extension| extension == "deb")).unwrap();
    Packed { folder, package }
});

fn well(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    output
}

fn text(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap()
}

/// What the package holds, as files.
fn unpacked() -> &'static Path {
    static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
        let tree = PACKED.folder.path().join("unpacked");
        well(Command::new("dpkg-deb").arg("--raw-extract").arg(&PACKED.package).arg(&tree));
        tree
    });
    &TREE
}

#[test]
fn the_package_has_all_parts_and_belongs_to_root() {
    let listed = text(well(Command::new("dpkg-deb").arg("--contents").arg(&PACKED.package)));
    for part in [
        "./etc/irp/edge.toml",
        "./usr/bin/irp",
        "./usr/lib/systemd/system/irp-edge.service",
        "./usr/lib/sysusers.d/irp-edge.conf",
        "./usr/share/bash-completion/completions/irp",
        "./usr/share/doc/irp/edge.toml",
        "./usr/share/fish/vendor_completions.d/irp.fish",
        "./usr/share/man/man1/irp.1.gz",
        "./usr/share/man/man1/irp-connect.1.gz",
        "./usr/share/zsh/vendor-completions/_irp",
    ] {
        assert!(listed.lines().any(|line| line.ends_with(part)), "{part}\n{listed}");
    }
    for line in listed.lines() {
        assert!(line.contains(" root/root "), "{line}");
        assert!(
            !line.starts_with("-") || line.starts_with("-rw-r--r--") || line.ends_with("/bin/irp"),
            "{line}"
        );
    }
    assert_eq!(fs::read_to_string(unpacked().join("DEBIAN/conffiles")).unwrap(), "/etc/irp/edge.toml\n");
    let sums = PACKED.package.with_file_name("SHA256SUMS");
    let mut check = Command::new("sha256sum");
    well(check.arg("--check").arg(&sums).current_dir(sums.parent().unwrap()));
}

#[test]
fn the_same_program_gives_the_same_package() {
    let first = fs::read(&PACKED.package).unwrap();
    let again = PACKED.folder.path().join("again");
    let mut pack = Command::new(env!("CARGO"));
    pack.current_dir(ROOT).args(["run", "--quiet", "--package", "xtask", "--", "linux"]);
    well(pack.args([PROGRAM, "--pages-by", IRP, "--out"]).arg(&again));
    assert!(fs::read(again.join(PACKED.package.file_name().unwrap())).unwrap() == first);
}

#[test]
fn the_shipped_configuration_is_right_once_a_key_is_in_it() {
    let shipped = fs::read_to_string(unpacked().join("etc/irp/edge.toml")).unwrap();
    let (before, table) = shipped.split_once("# [[key]]").unwrap();
    let key = "AAAAC3NzaC1lZDI1NTE5AAAAIJ8cU9WHIxFEGvIhVyFDuYtEKKyNi4BGRWXDZZ2kTmIe";
    let table = table.replace("\n# ", "\n").replace("AAAA…", key);
    let file = PACKED.folder.path().join("edge.toml");
    fs::write(&file, format!("{before}[[key]]{table}")).unwrap();
    well(Command::new(IRP).args(["edge", "--check", "--config"]).arg(&file));
}

#[test]
fn the_unit_is_valid_and_can_do_little() {
    let analyze = find("systemd-analyze", "systemd").unwrap();
    let unit = unpacked().join("usr/lib/systemd/system/irp-edge.service");
    // The paths in it are those of a host where the package is installed.
    let here = fs::read_to_string(&unit).unwrap().replace("/usr/bin/irp ", "/bin/true ");
    let copy = PACKED.folder.path().join("irp-edge.service");
    fs::write(&copy, here).unwrap();
    well(Command::new(&analyze).args(["verify", "--man=no"]).arg(&copy));
    let mut security = Command::new(&analyze);
    let told = text(well(security.args(["security", "--offline=yes", "--no-pager"]).arg(&copy)));
    let last = told.lines().last().unwrap();
    let exposure = last.split_whitespace().find_map(|word| word.parse::<f32>().ok()).unwrap();
    assert!(exposure <= EXPOSURE_MAX, "{last}");
}
