//! Who may visit, from the flags of `irp up`.

use irp_edge::http::access::{Access, User};
use secrecy::{ExposeSecret as _, SecretString};

use super::edge_file::Network;
use crate::{
    environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// Makes the rules. A password that was not typed is taken from `IRP_BASIC_AUTH`, else asked for.
///
/// # Errors
///
/// When a user has no password, or a name that cannot be one.
pub(crate) fn for_flags(allow: Vec<Network>, basic_auth: Option<&str>, ui: &Ui) -> Result<Access, Failure> {
    let networks = allow.into_iter().map(|network| network.0).collect();
    let Some(typed) = basic_auth else { return Ok(Access::new(networks, Vec::new())) };
    let (name, password) = match typed.split_once(':') {
        Some((name, password)) => {
            ui.warning("every user of this machine can read a password that stands on a command line");
            (name, SecretString::from(password))
        }
        None => (typed, ask(typed, ui)?),
    };
    let user = User::new(name, password.expose_secret()).ok_or_else(|| {
        Failure::new(Kind::User, "--basic-auth needs a user name").hint("irp up --local --basic-auth alice")
    })?;
    Ok(Access::new(networks, vec![user]))
}

fn ask(name: &str, ui: &Ui) -> Result<SecretString, Failure> {
    environment::basic_auth_password()
        .or_else(|| ui.ask_secret(&format!("Password of {name} for visitors: ")))
        .ok_or_else(|| {
            Failure::new(Kind::User, format!("there is no password for {name}"))
                .hint("IRP_BASIC_AUTH=… irp up --local --basic-auth USER")
        })
}
