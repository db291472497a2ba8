//! `[sshd]` of `edge.toml`, where there is no such way.

use irp_edge::config::SshWay;

use crate::{
    config::edge_file::{EdgeFile, Sshd},
    error::{Failure, Kind},
};

/// Refuses.
///
/// # Errors
///
/// Always.
pub(super) fn way(settings: &Sshd, _: &EdgeFile) -> Result<SshWay, Failure> {
    Err(Failure::new(
        Kind::Config,
        format!("[sshd] (ssh {}@…) runs on Linux: only there an edge can tell who listens", settings.account),
    )
    .hint("leave [sshd] out: irp's own client needs no sshd"))
}
