//! Power: how an edge ends its machine.

use std::{fmt, io, path::PathBuf, time::Duration};

use futures_util::future::BoxFuture;

/// How long [`Presence::withdraw`] may take: whoever keeps the records is not to keep the machine alive.
pub const WITHDRAW_WITHIN: Duration = Duration::from_secs(20);

/// How a machine is found, such as its address records: taken away before the machine is powered off, since
/// nobody can do it afterwards.
pub trait Presence: fmt::Debug + Send + Sync {
    /// Takes it away as well as it can, and says in the log what it could not. The caller waits for
    /// [`WITHDRAW_WITHIN`] at most.
    fn withdraw(&self) -> BoxFuture<'_, ()>;

    /// Brings it back: somebody came in the last moment, and the machine goes on.
    fn restore(&self) -> BoxFuture<'_, ()>;
}

/// What it takes to end the machine that the edge runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// Nothing: the end of this process is all (`irp up --local`).
    Exit,
    /// A file that is created. A path unit of systemd watches it and powers off as root, so that the edge itself
    /// needs no right to do so.
    File(PathBuf),
}

impl Power {
    /// Does what is needed before the process exits; the caller drains and exits afterwards.
    ///
    /// # Errors
    ///
    /// When the file cannot be created. The call may be repeated.
    pub async fn off(&self) -> Result<(), PowerError> {
        match self {
            Self::Exit => Ok(()),
            Self::File(path) => tokio::fs::write(path, "idle\n")
                .await
                .map_err(|source| PowerError::Create { path: path.clone(), source }),
        }
    }
}

/// Why the machine could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// The file that asks for the power-off cannot be created.
    #[error("cannot create {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
