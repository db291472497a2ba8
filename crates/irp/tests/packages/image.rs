//! A Debian on which nothing is but its own packages, and what a test puts there.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use irp_testkit::machine::Machine;

use crate::{packed::said, program::WITHIN};

/// The only user who can log in.
pub(crate) const USER: &str = "alice";

/// A Debian that is switched off.
pub(crate) struct Image {
    home: PathBuf,
}

impl Image {
    /// Has its files below `home`, beside which its machine will live.
    pub(crate) fn new(home: &Path) -> Self {
        let image = Self { home: home.to_owned() };
        for (path, text) in [
            // Nobody in the cloud has ordered it.
            ("/etc/cloud/cloud-init.disabled", ""),
            ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
            ("/etc/resolv.conf", ""),
            // With this folder the journal is kept on the disk.
            ("/var/log/journal/README", "kept\n"),
        ] {
            image.write(path, text);
        }
        // Only cloud-init would make its keys.
        image.link("/etc/systemd/system/ssh.service", Path::new("/dev/null"));
        image
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.place(path), text).unwrap();
    }

    /// Puts a copy of a file there.
    pub(crate) fn copy(&self, from: &Path, path: &str) {
        fs::copy(from, self.place(path)).unwrap();
    }

    /// Puts a copy of a folder there; a link stays one.
    pub(crate) fn copy_folder(&self, from: &Path, path: &str) {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = format!("{path}/{}", entry.file_name().to_str().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                self.copy_folder(&entry.path(), &to);
            } else if kind.is_symlink() {
                self.link(&to, &fs::read_link(entry.path()).unwrap());
            } else {
                self.copy(&entry.path(), &to);
            }
        }
    }

    pub(crate) fn link(&self, path: &str, to: &Path) {
        symlink(to, self.place(path)).unwrap();
    }

    fn place(&self, path: &str) -> PathBuf {
        let place = self.home.join("image").join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        place
    }

    /// Switches it on, and waits until it has started what it starts.
    pub(crate) fn boot(self) -> Machine {
        let image = self.home.join("image");
        // Temporary folders are their owner's alone, while here it is the root of everything.
        fs::set_permissions(&image, fs::Permissions::from_mode(0o755)).unwrap();
        let mut machine = Machine::new(&self.home.join("machine"), &image).unwrap();
        machine.boot().unwrap();
        is_up(&machine);
        machine
    }
}

/// Waits until a machine has started what it starts.
pub(crate) fn is_up(machine: &Machine) {
    machine.wait_until("the machine is up", WITHIN, || {
        let told = machine.ask(&["systemctl", "is-system-running"]);
        ["running", "degraded"].contains(&told.trim_end())
    });
}

/// Runs a program on the machine that has to succeed, and gives what it prints.
pub(crate) fn run(machine: &Machine, program: &[&str]) -> String {
    let output = machine.run(program).unwrap();
    assert!(output.status.success(), "{program:?}: {}\n{}", said(&output), machine.journal());
    String::from_utf8(output.stdout).unwrap()
}
