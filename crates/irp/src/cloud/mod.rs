//! The user's AWS account, as far as the commands on the PC use it: who is calling, what is there, what went wrong.
//!
//! There is no state file: the account is the state, and everything of irp in it is found by its tags.

pub(crate) mod account;
pub(crate) mod caa;
pub(crate) mod doctor;
pub(crate) mod edge_report;
pub(crate) mod explain;
pub(crate) mod launch;
pub(crate) mod leftovers;
pub(crate) mod machines;
pub(crate) mod portrait;
pub(crate) mod record;
pub(crate) mod resolver;
pub(crate) mod setup;
pub(crate) mod ways;
pub(crate) mod zone;
