//! Webhooks at the edge: which paths of a name belong to which provider, and the two steps of the pipeline that
//! verify a request and answer handshakes.
//!
//! A name without policies pays nothing for it. Where there are policies, the body is read whole, within a limit
//! and on the byte budget, and not one byte goes on before it was verified.

mod body;
mod learned;
mod notary;
mod paths;
mod policy;
mod step;

pub(crate) use learned::Learned;
pub(super) use notary::Notary;
pub use paths::{Path, PathError};
pub use policy::{BODY_MAX, Policies, PolicyError, Rule, provider};
pub(super) use step::{Keeping, Note, Outcome, check};
