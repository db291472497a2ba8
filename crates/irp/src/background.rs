//! A client in the background: `irp up --detach` leaves it there, `irp disconnect` ends it.
//!
//! # Contract
//!
//! In irp's state folder, `background/` has three files for each name: a record (JSON: who it is), a log, and a socket. The
//! socket (on Windows a named pipe, which is not in the folder) is what counts: as long as somebody answers there the client lives, so nothing depends on a process id that
//! another process may have by now. To whoever connects, the client tells its [`Report`] once its tunnel stands; a line
//! `leave` asks it to leave as Ctrl-C does; the connection ends when the process ends.
//!
//! The folder is the user's alone, and so is what can be asked of the client.

#[cfg_attr(windows, path = "background/apart/windows.rs")]
#[cfg_attr(not(windows), path = "background/apart/unix.rs")]
mod apart;
mod post;
#[cfg_attr(windows, path = "background/socket/windows.rs")]
#[cfg_attr(not(windows), path = "background/socket/unix.rs")]
mod socket;
mod visit;

use std::{fs, path::PathBuf};

use aws_lc_rs::digest;
use irp_wire::{name::Hostname, private};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    apart::{ask_to_leave, start},
    post::Post,
    visit::Visit,
};
use crate::{
    config,
    environment::Environment,
    error::{Failure, Kind},
};

/// What a client tells of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The public name.
    pub(crate) name: String,
    /// Its process.
    pub(crate) pid: u32,
    /// The public URLs; none as long as the tunnel has not stood yet.
    pub(crate) urls: Vec<String>,
    /// How its upstream is called.
    pub(crate) upstream: String,
    /// What it writes.
    pub(crate) log: PathBuf,
}

/// Where the client of one name is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    stem: String,
}

/// What asks a client to leave.
const LEAVE: &str = "leave";

/// The longest line that either side takes.
const LINE_MAX: u64 = 16 * 1024;

impl Place {
    /// The place of a name.
    ///
    /// # Errors
    ///
    /// When there is no state folder, or it cannot be made.
    pub(crate) fn of(name: &Hostname, environment: &Environment) -> Result<Self, Failure> {
        let folder = folder(environment)?;
        private::make_folder(&folder).map_err(|error| {
            Failure::new(Kind::Config, format!("cannot make {}", folder.display())).because(&error)
        })?;
        // Names may be longer than the path of a socket, some hundred bytes.
        let hash = digest::digest(&digest::SHA256, name.as_str().as_bytes());
        let stem = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { folder, stem })
    }

    /// All places with a record, and what it says.
    ///
    /// # Errors
    ///
    /// When there is no state folder.
    pub(crate) fn all(environment: &Environment) -> Result<Vec<(Self, Report)>, Failure> {
        let folder = folder(environment)?;
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
        let mut found: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let path = entry.path();
                let stem = path.file_stem()?.to_str()?.to_owned();
                let is_record = path.extension().is_some_and(|ending| ending == RECORD);
                let text = fs::read_to_string(&path).ok().filter(|_| is_record)?;
                Some((Self { folder: folder.clone(), stem }, serde_json::from_str(&text).ok()?))
            })
            .collect();
        found.sort_by(|(_, one): &(Self, Report), (_, other)| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Where the client writes.
    pub(crate) fn log(&self) -> PathBuf {
        self.file("log")
    }

    fn record(&self) -> PathBuf {
        self.file(RECORD)
    }

    fn socket(&self) -> PathBuf {
        self.file("sock")
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.stem))
    }

    /// Removes what a client has left; its log stays.
    pub(crate) fn clear(&self) {
        for file in [self.record(), self.socket()] {
            // What is not there need not be removed.
            let _ = fs::remove_file(file);
        }
    }
}

const RECORD: &str = "json";

fn folder(environment: &Environment) -> Result<PathBuf, Failure> {
    Ok(config::state_dir(environment)?.join("background"))
}
