//! Systems Manager: parameters, sessions, which machines are online. JSON 1.1.

mod parameters;
mod sessions;

pub use self::{
    parameters::{Overwrite, Parameter, PutParameter, STANDARD_MAX, Sort},
    sessions::{ManagedInstance, Session, StartSession},
};
use crate::account::Aws;

/// Systems Manager in one region.
#[derive(Debug, Clone)]
pub struct Ssm {
    aws: Aws,
}

impl Ssm {
    pub(crate) fn new(aws: Aws) -> Self {
        Self { aws }
    }
}
