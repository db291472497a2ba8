//! A tunnel through the machine's own sshd: the system's `ssh -N -R`, started, watched, and started again.
//!
//! This is the way in where no edge of ours runs, or where only ssh gets through. Who the machine is was told
//! beforehand, by somebody else than the machine's sshd: each run has a file of known hosts with that and nothing
//! else, and `StrictHostKeyChecking` is never off. How the machine is reached, and which key opens it, an
//! [`Entrance`] decides anew for each attempt, since a key that EC2 Instance Connect hands over is good for a minute.
//!
//! `ssh` tells when a forward stands only with `-v`, so its stderr is read; it goes no further than the log.

mod folder;
mod host_keys;
mod login;
#[cfg_attr(windows, path = "ssh/quoting/windows.rs")]
#[cfg_attr(not(windows), path = "ssh/quoting/unix.rs")]
pub mod quoting;
mod supervise;
mod words;

pub use self::{
    folder::PrivateFolder,
    host_keys::{HostKeys, HostKeysError},
    login::{Login, Reach},
    supervise::{SshConfig, run},
};

use std::{fmt, path::Path, pin::Pin};

use crate::pipe::CarrierError;

/// The system's OpenSSH client.
pub const PROGRAM: &str = "ssh";

/// Opens the machine's door for the next login.
pub trait Entrance: fmt::Debug + Send + Sync {
    /// How people call this way, such as `ssh to i-0abc12345de67890f through Session Manager`.
    fn way(&self) -> String;

    /// Sees to it that a login within the next minute will be let in. `folder` is private, and gone after this run:
    /// a key may be put there. The caller bounds the time that this takes.
    fn open<'a>(&'a self, folder: &'a Path) -> Opening<'a>;
}

/// What [`Entrance::open`] answers.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Login, CarrierError>> + Send + 'a>>;
