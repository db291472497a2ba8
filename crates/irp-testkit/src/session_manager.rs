//! A stand-in of AWS's `session-manager-plugin` with its real argument contract and its fault.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use serde_json::Value;

use crate::process::find;

/// What the program is called.
pub const PROGRAM: &str = "session-manager-plugin";

/// An installed stand-in. It connects to the host and port of the session's `StreamUrl`.
#[derive(Debug)]
pub struct SessionManagerPlugin {
    folder: PathBuf,
}

/// How it was called.
#[derive(Debug, Clone, Deserialize)]
pub struct Call {
    /// Its process id.
    pub pid: u32,
    /// Whether the session's token came by a variable and not for everybody to see.
    pub by_variable: bool,
    /// The region.
    pub region: String,
    /// The profile, or nothing.
    pub profile: String,
    /// The request of StartSession.
    pub request: Value,
    /// The endpoint of Systems Manager.
    pub endpoint: String,
    /// Whether it leads a process group of its own.
    pub group: bool,
}

impl SessionManagerPlugin {
    /// Puts it into `folder`, which is made.
    ///
    /// # Errors
    ///
    /// When there is no Python, or the folder cannot be written.
    pub fn install(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let python = find("python3", "python3")?;
        let script = format!("#!{}\n{}", python.display(), include_str!("session_manager.py"));
        let made = folder.join("made");
        fs::write(&made, script)?;
        // Written by another process: a file that this one wrote may still be open in a child that another test
        // forked meanwhile, and the system does not run it then.
        let mut install = Command::new(find("install", "coreutils")?);
        install.args(["-m", "755"]).arg(&made).arg(folder.join(PROGRAM));
        if !install.status()?.success() {
            return Err(io::Error::other("the stand-in cannot be installed"));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.folder.join(PROGRAM)
    }

    /// The folder, for `PATH`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Changes how it behaves from now on: `version`, `hang`, `fails`.
    ///
    /// # Errors
    ///
    /// When the file beside it cannot be written.
    pub fn set(&self, settings: &Value) -> io::Result<()> {
        fs::write(self.folder.join("settings.json"), settings.to_string())
    }

    /// How it was called so far, without `--version`.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        let noted = fs::read_to_string(self.folder.join("calls.jsonl")).unwrap_or_default();
        noted.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
