//! A small client for ssh-agent (draft-ietf-sshm-ssh-agent): list keys, sign. Its socket is a unix socket, or a named
//! pipe of Windows.
//!
//! Each question is a connection of its own: an agent that was restarted is simply there again.

#[cfg_attr(windows, path = "agent/windows.rs")]
#[cfg_attr(not(windows), path = "agent/unix.rs")]
mod system;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::ssh_data::{Damaged, Reader, put_string};
use irp_wire::key::{KEY_TYPE, PublicKey, SignError, Signer, Signing};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// The longest answer that is read, in bytes; OpenSSH's own limit.
const ANSWER_MAX: usize = 256 * 1024;

/// How many keys of an agent are looked at.
const KEYS_MAX: usize = 1024;

/// How long an agent may take to list its keys.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it may take to sign. It may ask its person first, but the edge's hello does not wait longer.
const SIGN_TIMEOUT: Duration = Duration::from_secs(5);

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// Why an agent is of no use.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nobody listens on the socket.
    #[error("cannot reach the ssh-agent at {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It broke off.
    #[error("the ssh-agent broke off")]
    Io(#[from] io::Error),
    /// It did not answer in time.
    #[error("the ssh-agent does not answer")]
    Silent,
    /// It said no, or its person did.
    #[error("the ssh-agent refuses")]
    Refused,
    /// Its answer does not follow the protocol.
    #[error("the ssh-agent's answer makes no sense")]
    Format,
    /// It has no key of our type.
    #[error(
        "the ssh-agent has no ed25519 key: add one with `ssh-add`{}",
        if others.is_empty() { String::new() } else { format!("; it has {}, which irp does not take", others.join(", ")) }
    )]
    NoKey {
        /// The types that it has.
        others: Vec<String>,
    },
    /// It does not have the key asked for.
    #[error("the ssh-agent does not have the key {0}: add it with `ssh-add`")]
    OtherKeys(String),
}

/// A key that an agent holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The key.
    pub key: PublicKey,
    /// Its comment.
    pub comment: String,
}

/// Signs with a key that an agent holds.
pub struct AgentSigner {
    socket: PathBuf,
    key: PublicKey,
}

impl AgentSigner {
    /// A signer for `key`, or for the agent's first ed25519 key.
    ///
    /// # Errors
    ///
    /// See [`AgentError`].
    pub async fn new(socket: &Path, key: Option<PublicKey>) -> Result<Self, AgentError> {
        let identities = identities(socket).await?;
        let found = match key {
            None => identities.first(),
            Some(wanted) => {
                let found = identities.iter().find(|identity| identity.key == wanted);
                Some(found.ok_or_else(|| AgentError::OtherKeys(wanted.fingerprint()))?)
            }
        };
        let key = found.ok_or(AgentError::NoKey { others: Vec::new() })?.key;
        Ok(Self { socket: socket.to_owned(), key })
    }
}

impl fmt::Debug for AgentSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentSigner({:?})", self.key)
    }
}

impl Signer for AgentSigner {
    fn public_key(&self) -> PublicKey {
        self.key
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        Box::pin(async {
            let signed = sign(&self.socket, &self.key, message).await;
            signed.map_err(|error| SignError(error.to_string()))
        })
    }
}

/// The ed25519 keys that an agent holds, in its order.
///
/// # Errors
///
/// See [`AgentError`]; an agent with keys of other types only is an error that names them.
pub async fn identities(socket: &Path) -> Result<Vec<Identity>, AgentError> {
    let answer = ask_at(socket, &[REQUEST_IDENTITIES], LIST_TIMEOUT).await?;
    let mut reader = Reader(&answer);
    if reader.byte()? != IDENTITIES_ANSWER {
        return Err(AgentError::Format);
    }
    let count = reader.number()? as usize;
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..count.min(KEYS_MAX) {
        let (blob, comment) = (reader.string()?, reader.string()?);
        let mut inside = Reader(blob);
        let kind = inside.string()?;
        let key = (kind == KEY_TYPE.as_bytes()).then(|| inside.string().ok()?.try_into().ok()).flatten();
        match key {
            Some(key) => ours.push(Identity { key: PublicKey::from_bytes(key), comment: plain(comment) }),
            None => others.push(plain(kind)),
        }
    }
    if ours.is_empty() { Err(AgentError::NoKey { others }) } else { Ok(ours) }
}

async fn sign(socket: &Path, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, AgentError> {
    let mut question = vec![SIGN_REQUEST];
    put_string(&mut question, &key.to_ssh_blob());
    put_string(&mut question, message);
    question.extend_from_slice(&0_u32.to_be_bytes());
    let answer = ask_at(socket, &question, SIGN_TIMEOUT).await?;
    let mut reader = Reader(&answer);
    if reader.byte()? != SIGN_RESPONSE {
        return Err(AgentError::Format);
    }
    let mut signature = Reader(reader.string()?);
    if signature.string()? != KEY_TYPE.as_bytes() {
        return Err(AgentError::Format);
    }
    let signature = signature.string()?.to_vec();
    if key.verifies(message, &signature) { Ok(signature) } else { Err(AgentError::Format) }
}

async fn ask_at(socket: &Path, question: &[u8], limit: Duration) -> Result<Vec<u8>, AgentError> {
    let asked = timeout(limit, async {
        let connected = system::connect(socket).await;
        let stream = connected.map_err(|source| AgentError::Connect { socket: socket.to_owned(), source })?;
        ask(stream, question).await
    });
    asked.await.unwrap_or(Err(AgentError::Silent))
}

async fn ask(mut io: impl AsyncRead + AsyncWrite + Unpin, question: &[u8]) -> Result<Vec<u8>, AgentError> {
    let mut message = Vec::with_capacity(question.len() + 4);
    put_string(&mut message, question);
    io.write_all(&message).await?;
    io.flush().await?;
    let length = io.read_u32().await? as usize;
    if length == 0 || length > ANSWER_MAX {
        return Err(AgentError::Format);
    }
    let mut answer = vec![0; length];
    io.read_exact(&mut answer).await?;
    if answer[0] == FAILURE { Err(AgentError::Refused) } else { Ok(answer) }
}

fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|letter| !letter.is_control()).take(200).collect()
}

impl From<Damaged> for AgentError {
    fn from(_: Damaged) -> Self {
        Self::Format
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn no_answer_is_longer_than_the_limit() {
        let (here, mut there) = duplex(16);
        let server = async {
            let mut question = [0; 5];
            there.read_exact(&mut question).await.unwrap();
            assert_eq!(question, [0, 0, 0, 1, REQUEST_IDENTITIES]);
            there.write_u32(u32::MAX).await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask(here, &[REQUEST_IDENTITIES]), server);
        assert!(matches!(answer, Err(AgentError::Format)));
    }

    #[tokio::test]
    async fn a_failure_is_a_refusal() {
        let (here, mut there) = duplex(16);
        let server = async { there.write_all(&[0, 0, 0, 1, FAILURE]).await.unwrap() };
        let (answer, ()) = tokio::join!(ask(here, &[REQUEST_IDENTITIES]), server);
        assert!(matches!(answer, Err(AgentError::Refused)));
    }
}
