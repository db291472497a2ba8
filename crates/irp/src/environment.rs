//! The environment, read once: no other module of this program asks for a variable.

#[cfg_attr(windows, path = "environment/windows.rs")]
#[cfg_attr(not(windows), path = "environment/unix.rs")]
mod system;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use irp_launch::settings::Key;
use secrecy::SecretString;

/// What the script of `irp completions` sets when Tab is pressed.
pub(crate) const COMPLETE: &str = "IRP_COMPLETE";

/// What the environment says, as far as irp listens to it.
#[derive(Debug)]
pub(crate) struct Environment {
    /// `HOME`; on Windows `USERPROFILE`.
    pub(crate) home: Option<PathBuf>,
    /// Where settings are: `$XDG_CONFIG_HOME/irp`, else `~/.config/irp`, on Windows `%APPDATA%\irp`.
    pub(crate) config_dir: Option<PathBuf>,
    /// Where irp keeps what it made: `$XDG_STATE_HOME/irp`, else `~/.local/state/irp`, on Windows `%LOCALAPPDATA%\irp`.
    pub(crate) state_dir: Option<PathBuf>,
    /// `USER`, else `LOGNAME`, on Windows `USERNAME`: the first label of the public name when none is given.
    pub(crate) user: Option<String>,
    /// `HTTPS_PROXY`, else `https_proxy`; it may hold a password.
    pub(crate) https_proxy: Option<SecretString>,
    /// `NO_PROXY`, else `no_proxy`.
    pub(crate) no_proxy: Option<String>,
    /// `SSH_AUTH_SOCK`: where the ssh-agent listens; on Windows else the pipe of its service, where that runs.
    pub(crate) ssh_auth_sock: Option<PathBuf>,
    /// `NO_COLOR` is set to something (<https://no-color.org>), or `TERM` is `dumb`.
    pub(crate) no_color: bool,
    /// [`COMPLETE`]: the shell whose script asks how a line may go on.
    pub(crate) complete: Option<String>,
    /// `IRP_RESOLVER`: the name server to ask, in the place of the system's.
    pub(crate) resolver: Option<String>,
    /// `IRP_LOG`: a filter such as `debug` or `irp_client=trace`.
    pub(crate) log: Option<String>,
}

impl Environment {
    /// Reads all of it.
    pub(crate) fn read() -> Self {
        Self {
            config_dir: path("XDG_CONFIG_HOME").or_else(system::config_folder).map(|dir| dir.join("irp")),
            state_dir: path("XDG_STATE_HOME").or_else(system::state_folder).map(|dir| dir.join("irp")),
            user: system::user(),
            https_proxy: text("HTTPS_PROXY").or_else(|| text("https_proxy")).map(SecretString::from),
            no_proxy: text("NO_PROXY").or_else(|| text("no_proxy")),
            ssh_auth_sock: system::agent(),
            no_color: given("NO_COLOR").is_some() || given("TERM").is_some_and(|term| term == "dumb"),
            complete: text(COMPLETE),
            resolver: text("IRP_RESOLVER"),
            log: text("IRP_LOG"),
            home: system::home(),
        }
    }
}

/// The variable with this name, which holds a secret.
pub(crate) fn secret(name: &str) -> Option<SecretString> {
    text(name).map(SecretString::from)
}

/// A variable that is set to more than nothing.
fn given(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    given(name)?.into_string().ok()
}

/// An absolute path: the XDG base directory specification says that others are to be ignored.
fn path(name: &str) -> Option<PathBuf> {
    given(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The file of this program, where the system tells.
pub(crate) fn this_program() -> Option<PathBuf> {
    env::current_exe().ok()
}

/// What is to be started for a program that was typed so: on Windows its file, wherever that ends with more than `.exe`.
pub(crate) fn program(typed: &OsStr) -> PathBuf {
    system::program(typed)
}

/// The settings of a launch that are variables.
pub(crate) fn settings() -> Vec<(Key, String)> {
    Key::all().filter_map(|key| Some((key, text(key.name())?))).collect()
}

/// `IRP_BASIC_AUTH`: a password for `--basic-auth USER`.
pub(crate) fn basic_auth_password() -> Option<SecretString> {
    text("IRP_BASIC_AUTH").map(SecretString::from)
}

/// `AWS_PROFILE`, which irp-aws obeys by itself: for sentences that name it.
pub(crate) fn aws_profile() -> Option<String> {
    text("AWS_PROFILE")
}

/// The folder that relative paths begin in.
pub(crate) fn current_folder() -> Option<PathBuf> {
    env::current_dir().ok()
}

/// The command line, the program's own name first.
pub(crate) fn arguments() -> Vec<OsString> {
    env::args_os().collect()
}
