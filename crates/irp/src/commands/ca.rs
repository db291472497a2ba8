//! `irp ca path` and `irp ca show`.

use std::process::ExitCode;

use crate::{authority, cli::CaCommand, environment::Environment, error::Failure, ui::Ui};

/// Tells about the authority of this machine.
pub(super) fn run(what: CaCommand, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let ca = authority::open(environment)?;
    match what {
        CaCommand::Path => ui.result(&ca.path().display()),
        CaCommand::Show => ui.document(ca.certificate_pem().as_bytes()),
    }
    Ok(ExitCode::SUCCESS)
}
