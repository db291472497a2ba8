//! The programs of others that the tests run, and how a machine gets them.

use std::{
    collections::BTreeSet,
    io::IsTerminal,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::succeed;

/// A program that some test starts, and the package of Debian and Ubuntu that brings it.
struct Program {
    name: &'static str,
    package: &'static str,
}

/// Only what tests use; one of the tests below compares it with what they look for.
const PROGRAMS: &[Program] = &[
    Program { name: "buildah", package: "buildah" },
    Program { name: "c++", package: "g++" }, // libFuzzer is compiled with the fuzz targets
    Program { name: "caddy", package: "caddy" },
    Program { name: "certutil", package: "libnss3-tools" },
    Program { name: "chromium", package: "chromium" },
    Program { name: "cloud-init", package: "cloud-init" },
    Program { name: "cp", package: "coreutils" },
    Program { name: "curl", package: "curl" },
    Program { name: "dpkg-deb", package: "dpkg" },
    Program { name: "grep", package: "grep" },
    Program { name: "id", package: "coreutils" },
    Program { name: "install", package: "coreutils" },
    Program { name: "ip", package: "iproute2" },
    Program { name: "jq", package: "jq" },
    Program { name: "journalctl", package: "systemd" },
    Program { name: "kill", package: "procps" },
    Program { name: "ldd", package: "libc-bin" },
    Program { name: "mmdebstrap", package: "mmdebstrap" }, // the root of a machine is made with it
    Program { name: "node", package: "nodejs" },
    Program { name: "npm", package: "npm" },
    Program { name: "nsenter", package: "util-linux" },
    Program { name: "npx", package: "npm" },
    Program { name: "openssl", package: "openssl" },
    Program { name: "pebble", package: "pebble" },
    Program { name: "python3", package: "python3" },
    Program { name: "readelf", package: "binutils" },
    Program { name: "script", package: "bsdutils" },
    Program { name: "shellcheck", package: "shellcheck" },
    Program { name: "ssh", package: "openssh-client" },
    Program { name: "ssh-add", package: "openssh-client" },
    Program { name: "ssh-agent", package: "openssh-client" },
    Program { name: "ssh-keygen", package: "openssh-client" },
    Program { name: "sshd", package: "openssh-server" },
    Program { name: "strip", package: "binutils" },
    Program { name: "systemd-analyze", package: "systemd" },
    Program { name: "tar", package: "tar" },
    Program { name: "timeout", package: "coreutils" },
    Program { name: "unshare", package: "util-linux" },
    Program { name: "zip", package: "zip" },
];

/// Installs packages without starting the servers among them.
const INSTALL: &str = include_str!("install.sh");

/// Sees to it that every program is there, by installing what is missing if `install` allows it.
pub(crate) fn provide(install: bool) -> Result<(), String> {
    let missing = missing();
    if missing.is_empty() {
        println!("all {} are installed", PROGRAMS.len());
        return Ok(());
    }
    let packages: BTreeSet<&str> = missing.iter().map(|program| program.package).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    for program in &missing {
        println!("missing: {} (package {})", program.name, program.package);
    }
    if !install {
        return Err(by_hand(&packages));
    }
    self::install(&packages)?;
    let still: Vec<&str> = self::missing().iter().map(|program| program.name).collect();
    if still.is_empty() { Ok(()) } else { Err(format!("installed, and still missing: {}", still.join(", "))) }
}

/// Installs packages of Debian or Ubuntu.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    let by_hand = by_hand(packages);
    if !is_there("apt-get") {
        return Err(format!("there is no apt-get on this machine; where there is one, one would {by_hand}"));
    }
    let mut command = root_shell().ok_or(by_hand)?;
    println!("installing: {}", packages.join(" "));
    succeed(command.args(["-c", INSTALL, "install.sh"]).args(packages))
}

fn by_hand(packages: &[&str]) -> String {
    format!("install what is missing:\n\n    sudo apt-get install {}\n", packages.join(" "))
}

fn missing() -> Vec<&'static Program> {
    PROGRAMS.iter().filter(|program| !is_there(program.name)).collect()
}

/// Looks where the tests look: in `PATH` and in the folders of system programs.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

/// A shell with the rights to install: our own as root, else through sudo if it needs no password or somebody
/// is there to type it.
pub(crate) fn root_shell() -> Option<Command> {
    if Path::new("/proc/self").metadata().is_ok_and(|own| own.uid() == 0) {
        return Some(Command::new("sh"));
    }
    let mut sudo = Command::new("sudo");
    let silent = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    if silent.success() {
        sudo.arg("-n");
    } else if !std::io::stdin().is_terminal() {
        return None;
    }
    sudo.arg("sh");
    Some(sudo)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Calls `look` on each Rust source below `folder`.
    fn sources(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, look);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                look(&path, &fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// Takes program and package out of each `find("program", "package")`.
    fn finds(source: &str) -> impl Iterator<Item = (&str, &str)> {
        source.split("find(").skip(1).filter_map(|call| {
            let (program, rest) = call.trim_start().strip_prefix('"')?.split_once('"')?;
            let (package, rest) = rest.strip_prefix(',')?.trim_start().strip_prefix('"')?.split_once('"')?;
            rest.trim_start_matches([',', ' ', '\n']).starts_with(')').then_some((program, package))
        })
    }

    #[test]
    fn every_program_that_a_test_looks_for_is_in_the_table() {
        let mut found = 0;
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates"), &mut |path, source| {
            for (program, package) in finds(source) {
                found += 1;
                assert!(
                    PROGRAMS.iter().any(|known| (known.name, known.package) == (program, package)),
                    "{}: {program} of {package} is not in the table of xtask/src/peers.rs",
                    path.display()
                );
            }
        });
        assert!(found > 0, "at least curl is looked for");
    }

    #[test]
    fn calls_are_found_in_sources() {
        let source = "let a = find(\"a\", \"b\")?; text.find(\"x\"); find(\n    \"c\",\n    \"d\",\n)";
        assert_eq!(finds(source).collect::<Vec<_>>(), [("a", "b"), ("c", "d")]);
    }

    #[test]
    fn a_program_of_the_system_is_found_and_another_is_not() {
        assert!(is_there("sh"));
        assert!(!is_there("no-such-program-of-irp"));
    }

    #[test]
    fn the_installer_is_a_valid_script() {
        assert!(Command::new("sh").args(["-n", "-c", INSTALL]).status().unwrap().success());
    }
}
