//! The door of a machine's sshd: which account, which key, which way, and who must answer.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use irp_aws::{Aws, ssm::Session};
use irp_client::{
    keys::file,
    pipe::CarrierError,
    ssh::{Entrance, HostKeys, Login, Opening, Reach},
};
use irp_wire::{key::PublicKey, private};
use secrecy::ExposeSecret as _;
use tokio::sync::OnceCell;

use super::{
    reported::{self, EdgePage},
    session_manager::{SessionManager, refused},
};

/// The file of the key that is pushed, in the folder of one run.
const PUSHED: &str = "id_ed25519";

/// How many sessions were kept in files so far: each has a file of its own.
static SESSIONS: AtomicU32 = AtomicU32::new(0);

/// One machine's sshd.
#[derive(Debug)]
pub(crate) struct Door {
    pub(super) aws: Aws,
    /// `i-…`.
    pub(super) id: String,
    /// The account that is logged in to.
    pub(super) user: String,
    pub(super) key: Key,
    pub(super) approach: Approach,
    /// The edge's own page of host keys, where the machine has one.
    pub(super) page: Option<EdgePage>,
    /// What it reported stays what it is, so it is asked once.
    pub(super) reported: OnceCell<HostKeys>,
}

/// The key that opens it.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// A fresh one, which EC2 Instance Connect hands over for a minute.
    Pushed,
    /// The person's own: these files, and what the ssh-agent holds.
    Own(Vec<PathBuf>),
}

/// The way to it.
#[derive(Clone, Debug)]
pub(crate) enum Approach {
    /// Its address and port.
    Direct(IpAddr, u16),
    /// A session of AWS.
    Through {
        /// Starts it.
        sessions: SessionManager,
        /// What ssh runs to carry it: irp itself, with words that are the same each time.
        program: Vec<OsString>,
    },
}

impl Door {
    async fn login(&self, folder: &Path) -> Result<Login, CarrierError> {
        let host_keys =
            self.reported.get_or_try_init(|| reported::host_keys(&self.aws, &self.id, self.page.as_ref()));
        let host_keys = host_keys.await?.clone();
        let session = match &self.approach {
            Approach::Direct(..) => None,
            Approach::Through { sessions, .. } => Some((sessions, sessions.start().await?)),
        };
        // Last, since its minute is running from then on.
        let identities = match &self.key {
            Key::Own(files) => Ok(files.clone()),
            Key::Pushed => self.push(folder).await.map(|file| vec![file]),
        };
        let file = folder.join(format!("session-{}", SESSIONS.fetch_add(1, Ordering::Relaxed)));
        let kept = match (&identities, &session) {
            (Ok(_), Some((_, session))) => keep(session, &file)
                .map_err(|error| CarrierError::lasting("there is no room for a session").because(error)),
            _ => Ok(()),
        };
        let identities = match identities.and_then(|identities| kept.map(|()| identities)) {
            Ok(identities) => identities,
            Err(error) => {
                if let Some((sessions, session)) = session {
                    sessions.abandon(&session).await;
                }
                return Err(error);
            }
        };
        let reach = match &self.approach {
            Approach::Direct(address, port) => Reach::Direct(*address, *port),
            Approach::Through { program, .. } => {
                let words = program.iter().cloned();
                Reach::Through(words.chain(["--session".into(), file.into_os_string()]).collect())
            }
        };
        let only_these = matches!(self.key, Key::Pushed);
        let (user, machine) = (self.user.clone(), self.id.clone());
        Ok(Login { user, machine, host_keys, identities, only_these, reach })
    }

    /// Pushes the key of this run, made at first use.
    async fn push(&self, folder: &Path) -> Result<PathBuf, CarrierError> {
        let path = folder.join(PUSHED);
        let (key, _) = file::read_or_generate(&path, "irp", |_| None)
            .map_err(|error| CarrierError::lasting("no key was made").because(error))?;
        push(&self.aws, &self.id, &self.user, &key.public_key()).await?;
        Ok(path)
    }
}

/// Has a machine accept this key for the next minute.
///
/// # Errors
///
/// When AWS refuses.
pub(crate) async fn push(aws: &Aws, id: &str, user: &str, key: &PublicKey) -> Result<(), CarrierError> {
    aws.instance_connect().send_key(id, user, &key.to_string()).await.map_err(refused)
}

/// Writes a session where only its owner reads it. It is a secret, so it does not go on a command line.
fn keep(session: &Session, file: &Path) -> io::Result<()> {
    private::options()
        .write(true)
        .create_new(true)
        .open(file)?
        .write_all(session.to_json().expose_secret().as_bytes())
}

impl Entrance for Door {
    fn way(&self) -> String {
        let key = match self.key {
            Key::Pushed => " with a key pushed by EC2 Instance Connect",
            Key::Own(_) => "",
        };
        let through = match &self.approach {
            Approach::Direct(address, _) => format!(" at {address}"),
            Approach::Through { .. } => " through Session Manager".to_owned(),
        };
        format!("ssh to {}@{}{through}{key}", self.user, self.id)
    }

    fn open<'a>(&'a self, folder: &'a Path) -> Opening<'a> {
        Box::pin(self.login(folder))
    }
}
