//! The certificate authority of this machine, which `irp up --local` and mode `local` of an edge use.

use irp_edge::certs::LocalCa;

use crate::{
    clock,
    config::state_dir,
    environment::Environment,
    error::{Failure, Kind},
};

/// Opens it; it is made now if there is none.
///
/// # Errors
///
/// When its folder cannot be used.
pub(crate) fn open(environment: &Environment) -> Result<LocalCa, Failure> {
    let folder = state_dir(environment)?.join("ca");
    LocalCa::open_or_create(&folder, clock::now()).map_err(|error| {
        Failure::new(Kind::Config, "there is no local certificate authority to use")
            .because(&error)
            .hint(format!("{} must be yours, and writable", folder.display()))
    })
}
