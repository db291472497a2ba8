//! What tests need of PyPI: moto, a stand-in for AWS, the AWS CLI, what reads templates of CloudFormation (cfn-lint, which
//! moto needs anyway), configurations of Terraform (tfparse) and workflows of GitHub, and the libraries of webhook providers,
//! in a folder of their own.

use std::{fs, path::PathBuf, process::Command};

use crate::{peers, succeed, workspace};

/// Exactly these versions, so that a run tomorrow is the same as today's.
const PACKAGES: &[&str] = &[
    "moto[server]==5.2.5",
    "awscli==1.46.3",
    "check-jsonschema==0.39.0",
    "cfn-lint==1.58.0",
    "line-bot-sdk==3.27.0",
    "PyNaCl==1.6.2",
    "slack_bolt==1.30.0",
    "slack_sdk==3.47.0",
    "standardwebhooks==1.1.0",
    "stripe==16.1.0",
    "svix==2.9.1",
    "tfparse==0.6.22",
    "twilio==9.13.0",
    "zizmor==1.32.0",
];

/// The package of Debian and Ubuntu that makes such folders.
const VENV: &str = "python3-venv";

/// Sees to it that the packages are there. Nothing is done when they are.
pub(crate) fn provide(install: bool) -> Result<(), String> {
    let folder = folder();
    let stamp = folder.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("the packages from PyPI are installed");
        return Ok(());
    }
    if !install {
        return Err(format!("install what is missing from PyPI: {}", by_hand()));
    }
    let can_make = || Command::new("python3").args(["-c", "import ensurepip, venv"]).output();
    if !can_make().is_ok_and(|output| output.status.success()) {
        peers::install(&[VENV])?;
    }
    println!("installing from PyPI: {}", PACKAGES.join(" "));
    succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    succeed(&mut pip)?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// The tests look here too: `irp_testkit::python`.
fn folder() -> PathBuf {
    workspace().join("target/peers/python")
}

fn by_hand() -> String {
    let packages: Vec<_> = PACKAGES.iter().map(|package| format!("'{package}'")).collect();
    let folder = "target/peers/python";
    format!("\n\n    python3 -m venv {folder} && {folder}/bin/pip install {}\n", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_pinned_and_tests_look_where_they_are() {
        assert!(PACKAGES.iter().all(|package| package.contains("==")));
        let looked = workspace().join("crates/irp-testkit/src/python.rs");
        assert!(fs::read_to_string(looked).unwrap().contains("\"target/peers/python/bin/python\""));
        assert!(folder().ends_with("target/peers/python"));
    }
}
