//! The public host keys of a machine, as it reported them.

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Between these lines cloud-init prints the keys on the console (its `write-ssh-key-fingerprints`).
const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";

/// The key types that are taken, in SSH's words.
const TYPES: [&str; 5] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/// More keys than that are nobody's.
const KEYS_MAX: usize = 16;

/// Public host keys, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeys(Vec<String>);

/// Why a text tells no host keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostKeysError {
    /// It has no such block yet, or only its beginning.
    #[error("the machine has not reported its host keys yet")]
    NotYet,
    /// There is a block without a key.
    #[error("the machine reported no host key that ssh takes")]
    NoKey,
}

impl HostKeys {
    /// Reads what a machine wrote to its console. The last whole block counts: each boot may write one.
    ///
    /// # Errors
    ///
    /// See [`HostKeysError`].
    pub fn from_console(text: &str) -> Result<Self, HostKeysError> {
        let end = text.rfind(END).ok_or(HostKeysError::NotYet)?;
        let begin = text[..end].rfind(BEGIN).ok_or(HostKeysError::NotYet)?;
        Self::from_lines(&text[begin + BEGIN.len()..end]).ok_or(HostKeysError::NoKey)
    }

    /// Reads lines of OpenSSH's `.pub` files; what else stands in a line, such as a time before it, is left out.
    #[must_use]
    pub fn from_lines(text: &str) -> Option<Self> {
        let keys: Vec<_> = text.lines().filter_map(key).take(KEYS_MAX).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The lines of a file of known hosts (`sshd(8)`, SSH_KNOWN_HOSTS FILE FORMAT) for `host`.
    #[must_use]
    pub fn known_hosts(&self, host: &str) -> String {
        self.0.iter().map(|key| format!("{host} {key}\n")).collect()
    }
}

/// The key in a line, `ssh-ed25519 AAAA…`.
fn key(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        let Some(kind) = TYPES.iter().find(|kind| **kind == word) else { continue };
        let text = words.next()?;
        let blob = BASE64_STANDARD.decode(text).ok()?;
        // The blob names its type once more (RFC 4253, section 6.6).
        let named = blob.get(4..4 + kind.len())?;
        let length = u32::try_from(kind.len()).ok()?.to_be_bytes();
        return (blob.starts_with(&length) && named == kind.as_bytes()).then(|| format!("{kind} {text}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use irp_wire::key::SecretKey;

    use super::*;

    fn line() -> String {
        SecretKey::generate().unwrap().public_key().to_string()
    }

    #[test]
    fn the_keys_of_the_last_boot_are_found_among_other_lines() {
        let (old, new) = (line(), line());
        let console = format!(
            "[ 1.0] x\r\n{BEGIN}\r\n{old} root@ip\r\n{END}\r\nlogin:\r\n{BEGIN}\r\n\
             [   12.3] cloud-init[812]: {new} root@ip-10-0-0-1\r\nssh-dss AAAA no\r\n{END}\r\n{BEGIN}\r\n{old}"
        );
        let keys = HostKeys::from_console(&console).unwrap();
        assert_eq!(keys.known_hosts("i-0abc"), format!("i-0abc {new}\n"));
    }

    #[test]
    fn a_console_without_a_whole_block_is_not_yet_one() {
        for text in ["", "login:", &format!("{BEGIN}\n{}", line()), &format!("{}\n{END}", line())] {
            assert_eq!(HostKeys::from_console(text), Err(HostKeysError::NotYet), "{text}");
        }
        for inside in ["", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-ed25519 AAAAB3NzaC1yc2E=", "ssh-dss AAAA"] {
            let text = format!("{BEGIN}\n{inside}\n{END}\n");
            assert_eq!(HostKeys::from_console(&text), Err(HostKeysError::NoKey), "{inside}");
        }
    }
}
