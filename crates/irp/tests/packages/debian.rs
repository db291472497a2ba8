//! The package for Debian: what is in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use tempfile::TempDir;

use crate::packed::{IRP, debian, well};

/// What is packed in irp's place: to pack a program made for tests would take a minute.
const PROGRAM: &str = "/bin/true";

/// The package, and where it is.
struct Packed {
    folder: TempDir,
    package: PathBuf,
}

static PACKED: LazyLock<Packed> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let package = debian(Path::new(PROGRAM), &folder.path().join("packages"));
    Packed { folder, package }
});

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
    let again = debian(Path::new(PROGRAM), &PACKED.folder.path().join("again"));
    assert!(fs::read(again).unwrap() == first);
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
