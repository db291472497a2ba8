//! The XDG base directory specification, on macOS as well: that is where people look for what came from a terminal.

use std::{ffi::OsStr, path::PathBuf};

use super::{path, text};

pub(super) fn home() -> Option<PathBuf> {
    path("HOME")
}

pub(super) fn config_folder() -> Option<PathBuf> {
    home().map(|home| home.join(".config"))
}

pub(super) fn state_folder() -> Option<PathBuf> {
    home().map(|home| home.join(".local/state"))
}

pub(super) fn user() -> Option<String> {
    text("USER").or_else(|| text("LOGNAME"))
}

pub(super) fn agent() -> Option<PathBuf> {
    path("SSH_AUTH_SOCK")
}

pub(super) fn program(typed: &OsStr) -> PathBuf {
    typed.into()
}
