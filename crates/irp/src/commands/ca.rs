//! `irp ca path` and `irp ca show`.

use std::process::ExitCode;

use irp_edge::certs::local::LocalCa;

use crate::{
    cli::CaCommand,
    clock,
    config::state_dir,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// Tells about the authority of this machine.
pub(super) fn run(what: CaCommand, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let ca = open(environment)?;
    match what {
        CaCommand::Path => ui.result(&ca.path().display()),
        CaCommand::Show => ui.document(ca.certificate_pem().as_bytes()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The authority of this machine, made now if there is none.
///
/// # Errors
///
/// When its folder cannot be used.
pub(super) fn open(environment: &Environment) -> Result<LocalCa, Failure> {
    let folder = state_dir(environment)?.join("ca");
    LocalCa::open_or_create(&folder, clock::now()).map_err(|error| {
        Failure::new(Kind::Config, "there is no local certificate authority to use")
            .because(&error)
            .hint(format!("{} must be yours, and writable", folder.display()))
    })
}
