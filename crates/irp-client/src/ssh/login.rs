//! One login: what `ssh` is told on its command line.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
};

use irp_wire::private;

use super::{HostKeys, quoting};

/// How often ssh asks whether the machine is still there, in seconds, and how often in vain. It also keeps a session
/// of Session Manager alive, which ends after 20 idle minutes.
const ALIVE_INTERVAL: u32 = 5;
const ALIVE_COUNT: u32 = 3;

/// How long a connection may take until the machine says hello, in seconds.
const CONNECT_TIMEOUT: u32 = 30;

/// A login that will be let in.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account, such as `ec2-user`.
    pub user: String,
    /// The machine's name in known hosts, such as its instance id.
    pub machine: String,
    /// What it reported as its host keys.
    pub host_keys: HostKeys,
    /// Files with private keys, in the order in which they are offered; the agent's keys and ssh's usual files come
    /// after them, unless `only_these`.
    pub identities: Vec<PathBuf>,
    /// Offer no other keys.
    pub only_these: bool,
    /// The way to its sshd.
    pub reach: Reach,
}

/// The way to a machine's sshd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// TCP to this address and port.
    Direct(IpAddr, u16),
    /// This program carries the bytes: its path and arguments.
    Through(Vec<OsString>),
}

impl Login {
    /// The arguments of `ssh` up to and with the destination; known hosts are written to `folder`.
    ///
    /// No configuration file is read: what one says about this host could turn the check of its key off.
    ///
    /// # Errors
    ///
    /// When the file of known hosts cannot be written.
    pub fn arguments(&self, folder: &Path, extra: &[&str]) -> io::Result<Vec<OsString>> {
        let known_hosts = folder.join("known_hosts");
        write_private(&known_hosts, &self.host_keys.known_hosts(&self.machine))?;
        let mut arguments: Vec<OsString> = ["-F", "none"].map(OsString::from).into();
        let mut option = |text: OsString| arguments.extend(["-o".into(), text]);
        for fixed in [
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=none",
            "UpdateHostKeys=no",
            "CheckHostIP=no",
            "PasswordAuthentication=no",
            "KbdInteractiveAuthentication=no",
            "ForwardAgent=no",
            "ControlPath=none",
        ] {
            option(fixed.into());
        }
        option(format!("HostKeyAlias={}", self.machine).into());
        option(joined("UserKnownHostsFile=", &quoting::path(&known_hosts)));
        option(format!("ServerAliveInterval={ALIVE_INTERVAL}").into());
        option(format!("ServerAliveCountMax={ALIVE_COUNT}").into());
        option(format!("ConnectTimeout={CONNECT_TIMEOUT}").into());
        for identity in &self.identities {
            option(joined("IdentityFile=", &quoting::path(identity)));
        }
        if self.only_these {
            option("IdentitiesOnly=yes".into());
            option("IdentityAgent=none".into());
        }
        match &self.reach {
            Reach::Direct(address, port) => {
                option(format!("HostName={address}").into());
                option(format!("Port={port}").into());
            }
            Reach::Through(program) => {
                let mut command = OsString::from("ProxyCommand=");
                for (index, word) in program.iter().enumerate() {
                    command.push(if index == 0 { "" } else { " " });
                    command.push(for_shell(word));
                }
                option(command);
            }
        }
        arguments.extend(extra.iter().map(OsString::from));
        arguments.push(format!("{}@{}", self.user, self.machine).into());
        Ok(arguments)
    }
}

fn joined(key: &str, value: &str) -> OsString {
    let mut text = OsString::from(key);
    text.push(value);
    text
}

/// A word of a `ProxyCommand`.
fn for_shell(word: &OsString) -> OsString {
    let text = word.to_string_lossy();
    let harmless = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@+,".contains(letter);
    if !text.is_empty() && text.chars().all(harmless) {
        return word.clone();
    }
    quoting::word(&text).into()
}

fn write_private(file: &Path, text: &str) -> io::Result<()> {
    private::options().write(true).create(true).truncate(true).open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use irp_wire::key::SecretKey;

    use super::*;

    fn login(reach: Reach) -> Login {
        let line = SecretKey::generate().unwrap().public_key().to_string();
        Login {
            user: "ec2-user".into(),
            machine: "i-0abc".into(),
            host_keys: HostKeys::from_lines(&line).unwrap(),
            identities: vec!["/a folder/50%".into()],
            only_these: true,
            reach,
        }
    }

    #[test]
    fn the_host_key_is_checked_in_every_case() {
        let folder = tempfile::tempdir().unwrap();
        let through = Reach::Through(vec!["/bin/irp".into(), "it's 5%".into()]);
        for reach in [Reach::Direct([192, 0, 2, 1].into(), 22), through] {
            let arguments = login(reach.clone()).arguments(folder.path(), &["-N"]).unwrap();
            let arguments: Vec<_> = arguments.iter().map(|text| text.to_string_lossy()).collect();
            let told = arguments.join(" ");
            for part in [
                "-F none",
                "-o StrictHostKeyChecking=yes",
                "-o HostKeyAlias=i-0abc",
                "-o IdentityFile=\"/a folder/50%%\"",
                "-N ec2-user@i-0abc",
            ] {
                assert!(told.contains(part), "{part}: {told}");
            }
            assert!(!told.contains("StrictHostKeyChecking=no") && !told.contains("accept-new"), "{told}");
            match reach {
                Reach::Direct(..) => assert!(told.contains("-o HostName=192.0.2.1 -o Port=22"), "{told}"),
                Reach::Through(_) => {
                    assert!(arguments.iter().any(|text| text == r"ProxyCommand=/bin/irp 'it'\''s 5%%'"));
                }
            }
        }
        assert!(fs::read_to_string(folder.path().join("known_hosts")).unwrap().starts_with("i-0abc ssh-"));
    }
}
