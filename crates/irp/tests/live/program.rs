//! The program as a process of its own, and what it is called with.

use std::{path::Path, process::Command};

use irp_testkit::process::find;
pub(crate) use irp_testkit::running::{Running, WITHIN};

pub(crate) fn irp(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_irp"));
    command.args(arguments).env_clear().env("HOME", home).env("USER", "alice").current_dir(home);
    // Nobody is asked who is outside.
    command.env("IRP_RESOLVER", "127.0.0.1:1");
    command
}

pub(crate) fn free_port() -> u16 {
    irp_testkit::port::unused().unwrap()
}

pub(crate) fn curl(ca: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(find("curl", "curl").unwrap());
    command.args(["-sS", "--max-time", "30", "--cacert", ca]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn ca_path(home: &Path) -> String {
    let output = irp(home, &["ca", "path"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
