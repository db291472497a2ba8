//! Power: how an edge ends its machine.

use std::{io, path::PathBuf};

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
