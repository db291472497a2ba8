//! Configuration, in three shapes that are only converted forwards: what was typed ([`cli`](crate::cli)),
//! what stands in a file ([`edge_file`]), and what the program runs with.
//!
//! A file that is named must be there. Every key in it must be known: a slip of the keyboard is an error that
//! names the file, the line and the nearest key, never a setting that silently does not count.

pub(crate) mod access;
pub(crate) mod client;
pub(crate) mod edge;
pub(crate) mod edge_file;
pub(crate) mod launch;
pub(crate) mod policies;
pub(crate) mod secrets;
pub(crate) mod senders;
mod toml_file;
pub(crate) mod values;

use std::path::PathBuf;

use crate::{
    advice,
    environment::Environment,
    error::{Failure, Kind},
};

/// irp's state folder: the local certificate authority, what edges were pinned.
///
/// # Errors
///
/// When the environment names no folder.
pub(crate) fn state_dir(environment: &Environment) -> Result<PathBuf, Failure> {
    environment.state_dir.clone().ok_or_else(|| homeless("keep its state"))
}

/// irp's configuration folder.
///
/// # Errors
///
/// When the environment names no folder.
pub(crate) fn config_dir(environment: &Environment) -> Result<PathBuf, Failure> {
    environment.config_dir.clone().ok_or_else(|| homeless("keep its configuration"))
}

fn homeless(purpose: &str) -> Failure {
    Failure::new(Kind::Config, format!("there is no folder where irp could {purpose}")).hint(advice::HOMELESS)
}
