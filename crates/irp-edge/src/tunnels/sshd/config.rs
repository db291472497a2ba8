//! What our own sshd is told: `sshd_config` and `authorized_keys`, as pure text.
//!
//! Every prohibition stands twice where OpenSSH allows it, once for the server and once for each key, so that
//! neither a new default nor a slip in one of them opens anything.

use std::{fmt, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::UpstreamPort;

/// How often sshd asks a silent client whether it is alive.
pub const DEFAULT_ALIVE_INTERVAL: Duration = Duration::from_secs(3);

/// How many such questions may stay unanswered: with [`DEFAULT_ALIVE_INTERVAL`] a dead laptop frees its port and
/// name after 9 to 12 s, and one that lost its network for 5 s keeps them.
pub const DEFAULT_ALIVE_COUNT: u32 = 3;

/// How long a connection may take to authenticate. Keys need one round trip or two; nobody types here.
pub const DEFAULT_LOGIN_GRACE: Duration = Duration::from_secs(20);

/// The only kind of key irp has.
const KEY_TYPE: &str = "ssh-ed25519";

/// An ed25519 public key in the wire format: the length and name of its type, then the length and the key.
const KEY_PREFIX: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";
const KEY_BYTES: usize = KEY_PREFIX.len() + 32;

/// A public key that may open forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedKey([u8; KEY_BYTES]);

impl AuthorizedKey {
    /// Reads a line as it stands in a `.pub` file: `ssh-ed25519 AAAA… comment`. The comment is not kept.
    ///
    /// # Errors
    ///
    /// When it is a key of another type, or no key. Options before the key are refused as well.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some(KEY_TYPE) => {}
            Some(other)
                if other.starts_with("ssh-") || other.starts_with("ecdsa-") || other.starts_with("sk-") =>
            {
                return Err(KeyError::Type(other.to_owned()));
            }
            _ => return Err(KeyError::NoKey),
        }
        let bytes = STANDARD.decode(words.next().ok_or(KeyError::NoKey)?).map_err(|_| KeyError::NoKey)?;
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| KeyError::NoKey)?;
        if bytes.starts_with(KEY_PREFIX) { Ok(Self(bytes)) } else { Err(KeyError::NoKey) }
    }
}

impl fmt::Display for AuthorizedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_TYPE} {}", STANDARD.encode(self.0))
    }
}

/// Why a line is no [`AuthorizedKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// RSA, ECDSA and keys on tokens.
    #[error("{0} keys are not taken here; make one with `irp keygen` or `ssh-keygen -t ed25519`")]
    Type(String),
    /// Not a line of a `.pub` file.
    #[error("this is no line of a .pub file (`ssh-ed25519 AAAA… comment`)")]
    NoKey,
}

/// The keys that our own sshd lets in: at least one, all of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerKeys {
    owner: String,
    keys: Vec<AuthorizedKey>,
}

impl OwnerKeys {
    /// Takes pairs of owner and key.
    ///
    /// # Errors
    ///
    /// When there is none, or there are two owners: both would share one account and could take each other's port
    /// and names.
    pub fn new<'a>(keys: impl IntoIterator<Item = (&'a str, AuthorizedKey)>) -> Result<Self, OwnerKeysError> {
        let mut keys = keys.into_iter();
        let (owner, first) = keys.next().ok_or(OwnerKeysError::Nobody)?;
        let mut own = vec![first];
        for (other, key) in keys {
            if other != owner {
                return Err(OwnerKeysError::SecondOwner {
                    first: owner.to_owned(),
                    second: other.to_owned(),
                });
            }
            own.push(key);
        }
        Ok(Self { owner: owner.to_owned(), keys: own })
    }

    /// Whose keys they are.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }
}

/// Why keys are no [`OwnerKeys`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerKeysError {
    /// No key at all.
    #[error("ssh on the public port is switched on, but there is no key that may use it")]
    Nobody,
    /// Keys of two owners.
    #[error("the sshd way has one owner per machine: here are keys of {first} and of {second}")]
    SecondOwner {
        /// The owner of the first key.
        first: String,
        /// The other one.
        second: String,
    },
}

/// What `sshd_config` depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'a> {
    pub(super) account: &'a str,
    pub(super) host_key: &'a Path,
    pub(super) authorized_keys: &'a Path,
    pub(super) port: UpstreamPort,
    /// Whether forwards may come out at sockets as well.
    pub(super) sockets: bool,
    pub(super) alive_interval: Duration,
    pub(super) alive_count: u32,
    pub(super) login_grace: Duration,
    /// Whether the processor has instructions for AES.
    pub(super) aes: bool,
}

/// The text of `sshd_config`, or `None` when a path cannot be written in it.
pub(super) fn sshd_config(settings: &Settings<'_>) -> Option<String> {
    let Settings { account, port, alive_count, .. } = settings;
    let host_key = quoted(settings.host_key)?;
    // Here sshd expands `%u` and the like.
    let authorized_keys = quoted(settings.authorized_keys)?.replace('%', "%%");
    let sockets = if settings.sockets { "remote" } else { "no" };
    let alive_interval = whole_seconds(settings.alive_interval);
    let login_grace = whole_seconds(settings.login_grace);
    // The client's order decides, and OpenSSH's begins with ChaCha20, which costs the edge 40 % more where the
    // processor knows AES.
    let ciphers = if settings.aes {
        "aes128-gcm@openssh.com,aes256-gcm@openssh.com"
    } else {
        "+aes128-gcm@openssh.com"
    };
    Some(format!(
        "# Written by irp at every start; changes are lost.
# Who may come in: one account, by public key.
AllowUsers {account}
AuthenticationMethods publickey
PubkeyAuthentication yes
PubkeyAcceptedAlgorithms {KEY_TYPE}
AuthorizedKeysFile {authorized_keys}
AuthorizedKeysCommand none
PasswordAuthentication no
KbdInteractiveAuthentication no
HostbasedAuthentication no
PermitEmptyPasswords no
PermitRootLogin no
MaxAuthTries 3
LoginGraceTime {login_grace}
# The folder of these files belongs to the edge and is closed to others; sshd would also want every folder above.
StrictModes no
UsePAM no
UseDNS no
HostKey {host_key}
Ciphers {ciphers}

# What they may do: let forwards come out at the upstream port of the loopback, or at a socket. No session of any
# kind can be opened.
AllowTcpForwarding remote
PermitListen {port}
PermitOpen none
AllowStreamLocalForwarding {sockets}
StreamLocalBindUnlink yes
StreamLocalBindMask 0117
GatewayPorts no
MaxSessions 0
ForceCommand /bin/false
PermitTTY no
PermitTunnel no
PermitUserRC no
PermitUserEnvironment no
AllowAgentForwarding no
X11Forwarding no

# A dead laptop frees its port and name within seconds.
ClientAliveInterval {alive_interval}
ClientAliveCountMax {alive_count}
TCPKeepAlive yes

# The log goes to the edge, which waits for the line that says `Accepted`.
LogLevel INFO
PrintMotd no
PidFile none
"
    ))
}

/// The text of `authorized_keys`: each key may listen on the upstream port, and nothing else.
pub(super) fn authorized_keys(keys: &OwnerKeys, port: UpstreamPort) -> String {
    keys.keys.iter().map(|key| format!("restrict,port-forwarding,permitlisten=\"{port}\" {key}\n")).collect()
}

/// A file for `/etc/ssh/sshd_config.d/`: what the machine's own sshd needs so that forwards through it behave.
///
/// Without it the session of a laptop that went to sleep stays for two hours, holds port and name, and
/// keeps the machine alive.
#[must_use]
pub fn machine_drop_in() -> String {
    format!(
        "# Written by irp: a dead client frees its forwards within seconds, and may take its socket again.
ClientAliveInterval {}
ClientAliveCountMax {DEFAULT_ALIVE_COUNT}
StreamLocalBindUnlink yes
StreamLocalBindMask 0117
GatewayPorts no
",
        whole_seconds(DEFAULT_ALIVE_INTERVAL)
    )
}

/// A path as an argument: in quotation marks, which cannot be escaped in every version of OpenSSH.
fn quoted(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let plain = path.is_absolute() && !text.contains(|c: char| matches!(c, '"' | '\\') || c.is_control());
    plain.then(|| format!("\"{text}\""))
}

/// sshd counts whole seconds, and takes 0 for never.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}

/// Whether the text of `/proc/cpuinfo` tells of instructions for AES.
pub(super) fn has_aes(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags") || line.starts_with("Features"))
        .any(|line| line.split_ascii_whitespace().any(|flag| flag == "aes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@laptop";

    fn port() -> UpstreamPort {
        UpstreamPort::new(3000, &[]).unwrap()
    }

    fn settings<'a>() -> Settings<'a> {
        Settings {
            account: "irp",
            host_key: Path::new("/var/lib/irp/sshd/host_key"),
            authorized_keys: Path::new("/var/lib/irp/sshd/authorized_keys"),
            port: port(),
            sockets: true,
            alive_interval: DEFAULT_ALIVE_INTERVAL,
            alive_count: DEFAULT_ALIVE_COUNT,
            login_grace: DEFAULT_LOGIN_GRACE,
            aes: true,
        }
    }

    #[test]
    fn the_configuration_says_no_to_everything_but_remote_forwards() {
        let config = sshd_config(&settings()).unwrap();
        for line in [
            "AllowUsers irp",
            "AuthenticationMethods publickey",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin no",
            "AllowTcpForwarding remote",
            "AllowStreamLocalForwarding remote",
            "StreamLocalBindUnlink yes",
            "PermitListen 3000",
            "PermitOpen none",
            "GatewayPorts no",
            "MaxSessions 0",
            "PermitTTY no",
            "AllowAgentForwarding no",
            "X11Forwarding no",
            "PermitTunnel no",
            "ClientAliveInterval 3",
            "ClientAliveCountMax 3",
            "LoginGraceTime 20",
            "HostKey \"/var/lib/irp/sshd/host_key\"",
        ] {
            assert!(config.lines().any(|have| have == line), "{line} is missing in\n{config}");
        }
        let config = sshd_config(&Settings { sockets: false, ..settings() }).unwrap();
        assert!(config.contains("\nAllowStreamLocalForwarding no\n"));
    }

    #[test]
    fn no_path_can_bring_in_a_line_or_a_token() {
        let config = |path: &str| sshd_config(&Settings { authorized_keys: Path::new(path), ..settings() });
        assert!(config("/a b/%u").unwrap().contains("AuthorizedKeysFile \"/a b/%%u\"\n"));
        for path in ["/a\nPermitRootLogin yes", "/a\" /b", "/a\\", "relative"] {
            assert_eq!(config(path), None, "{path}");
        }
    }

    #[test]
    fn keys_are_restricted_one_by_one() {
        let keys = OwnerKeys::new([("alice", AuthorizedKey::parse(LINE).unwrap())]).unwrap();
        assert_eq!(
            authorized_keys(&keys, port()),
            "restrict,port-forwarding,permitlisten=\"3000\" \
             ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
        );
    }

    #[test]
    fn other_keys_and_options_are_refused() {
        let key = LINE.split(' ').nth(1).unwrap();
        assert_eq!(AuthorizedKey::parse("ssh-rsa AAAA"), Err(KeyError::Type("ssh-rsa".into())));
        assert_eq!(
            AuthorizedKey::parse("ecdsa-sha2-nistp256 AAAA"),
            Err(KeyError::Type("ecdsa-sha2-nistp256".into()))
        );
        for line in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            &format!("command=\"sh\" ssh-ed25519 {key}"),
            &format!("ssh-ed25519 {}", key.replacen("AAAAC3", "AAAAC4", 1)),
        ] {
            assert_eq!(AuthorizedKey::parse(line), Err(KeyError::NoKey), "{line}");
        }
    }

    #[test]
    fn a_second_owner_is_refused_but_not_a_second_key() {
        let key = || AuthorizedKey::parse(LINE).unwrap();
        assert_eq!(OwnerKeys::new([("alice", key()), ("alice", key())]).unwrap().owner(), "alice");
        assert_eq!(
            OwnerKeys::new([("alice", key()), ("bob", key())]),
            Err(OwnerKeysError::SecondOwner { first: "alice".into(), second: "bob".into() })
        );
        assert_eq!(OwnerKeys::new([]), Err(OwnerKeysError::Nobody));
    }

    #[test]
    fn aes_is_found_in_both_notations() {
        assert!(has_aes("processor: 0\nflags\t\t: fpu sse2 aes avx\n"));
        assert!(has_aes("Features\t: fp asimd aes pmull\n"));
        assert!(!has_aes("flags\t\t: fpu vaes\nmodel name: aes\n"));
    }

    proptest! {
        #[test]
        fn a_key_line_is_one_line_whatever_was_typed(line in ".*") {
            if let Ok(key) = AuthorizedKey::parse(&line) {
                prop_assert!(!key.to_string().contains(char::is_control));
            }
        }

        #[test]
        fn every_key_survives(bytes: [u8; 32], comment in "[ -~]*") {
            let line = format!("ssh-ed25519 {} {comment}", STANDARD.encode([KEY_PREFIX, &bytes].concat()));
            let key = AuthorizedKey::parse(&line).unwrap();
            prop_assert_eq!(AuthorizedKey::parse(&key.to_string()), Ok(key));
        }
    }
}
