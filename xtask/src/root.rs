//! A small Debian or Ubuntu that tests boot as a machine: systemd, cloud-init, sshd and little else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{peers, succeed, workspace};

/// What images of EC2 have and the units of irp use. Only what is named comes, with what it depends on.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "openssh-server",
    "procps",
    "python3",
    "systemd",
    "systemd-sysv",
    "tzdata",
];

/// The variable that names another release of Debian than that of this machine.
const RELEASE: &str = "IRP_TEST_RELEASE";

/// Done to the root at last. Each machine makes its own host keys and number; its addresses are set from outside, where
/// no DHCP server is that cloud-init would wait for.
const FINISH: &str = r#"cd "$1" && rm -f etc/ssh/ssh_host_* usr/sbin/dhclient sbin/dhclient usr/sbin/dhcpcd sbin/dhcpcd &&
    : >etc/machine-id"#;

/// Makes the root: `$1` is the release, `$2` the folder, `$3` the packages, `$4` what is done at last; the rest are files
/// with sources of packages.
const MAKE: &str = r#"set -eu
release=$1 folder=$2 packages=$3 finish=$4
shift 4
rm -rf "$folder"
mmdebstrap --quiet --variant=minbase --format=directory --include="$packages" --customize-hook="$finish" \
    "$release" "$folder" "$@""#;

/// Sees to it that the root is there. Nothing is done when it is.
pub(crate) fn provide(install: bool) -> Result<(), String> {
    let own = release()?;
    let other = std::env::var(RELEASE).ok().filter(|other| !other.is_empty());
    let at = |rest: &str| {
        let beside = other.as_ref().map(|other| format!("-{other}")).unwrap_or_default();
        workspace().join(format!("target/peers/root{beside}{rest}"))
    };
    let release = other.as_deref().unwrap_or(&own);
    // Beside the folder, since only root can write into it.
    let (folder, stamp) = (at(""), at(".installed"));
    let wanted = format!("{release}\n{}\n{FINISH}\n", PACKAGES.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) && folder.join("sbin/init").exists() {
        println!("the root of the machine that tests boot is made");
        return Ok(());
    }
    if !install {
        return Err(
            "the root of the machine that tests boot is missing; make it with\n\n    cargo xtask test\n"
                .into(),
        );
    }
    println!("making the root of the machine that tests boot: {release} with {}", PACKAGES.join(" "));
    let mut make =
        peers::root_shell().ok_or("making the root of a machine needs root: run this with sudo")?;
    make.args(["-c", MAKE, "mmdebstrap", release]).arg(&folder).arg(PACKAGES.join(",")).arg(FINISH);
    let mut sources = sources(&own)?;
    if release != own {
        sources = sources_of(release, &own, &sources, &at(".sources"))?;
    }
    succeed(make.args(sources))?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// The release of this machine: what is built here runs there too.
fn release() -> Result<String, String> {
    let told = fs::read_to_string("/etc/os-release").map_err(|error| format!("/etc/os-release: {error}"))?;
    let codename = told.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    codename
        .map(|name| name.trim_matches('"').to_owned())
        .ok_or_else(|| "which release of Debian is this?".into())
}

/// The files from which apt takes packages of this release here; so a mirror or proxy of this machine serves the root too.
fn sources(release: &str) -> Result<Vec<PathBuf>, String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "list" || extension == "sources") {
            files.push(path);
        }
    }
    files.retain(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(release)));
    files.sort();
    if files.is_empty() { Err(format!("apt has no source for {release}")) } else { Ok(files) }
}

/// The same files for another release, written to a folder.
fn sources_of(release: &str, own: &str, files: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    let write = |file: &PathBuf| {
        let copy = folder.join(file.file_name().unwrap_or_default());
        let text = fs::read_to_string(file)?.replace(own, release);
        fs::write(&copy, text).map(|()| copy)
    };
    files.iter().map(write).collect::<Result<_, _>>().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_scripts_are_valid_and_tests_look_where_the_root_is() {
        for script in [MAKE, FINISH] {
            assert!(Command::new("sh").args(["-n", "-c", script]).status().unwrap().success(), "{script}");
        }
        let looked = fs::read_to_string(workspace().join("crates/irp-testkit/src/machine.rs")).unwrap();
        assert!(looked.contains("\"target/peers/root\"") && looked.contains(&format!("\"{RELEASE}\"")));
    }

    #[test]
    fn another_release_comes_from_where_this_one_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("debian.sources");
        fs::write(&file, "URIs: http://mirror/debian\nSuites: bookworm bookworm-updates\n").unwrap();
        let other = folder.path().join("other");
        let copies = sources_of("trixie", "bookworm", &[file], &other).unwrap();
        assert_eq!(copies, [other.join("debian.sources")]);
        let text = fs::read_to_string(&copies[0]).unwrap();
        assert_eq!(text, "URIs: http://mirror/debian\nSuites: trixie trixie-updates\n");
    }

    #[test]
    fn this_machine_has_a_release_and_a_source_for_it() {
        let release = release().unwrap();
        assert!(!release.is_empty() && !sources(&release).unwrap().is_empty());
    }
}
