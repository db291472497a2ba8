//! Launching the machine of a name: [`look`](look::look) finds what there is, `irp_launch::plan` (pure) tells the steps,
//! [`Order`](order::Order) and [`program`] take them, [`wait`] follows the machine until its edge can answer.
//!
//! # Contract
//!
//! - Nothing is launched where a machine of the name lives. However often, from wherever and however interrupted the same
//!   launch is tried, one machine comes of it: the token of the order sees to that.
//! - What cannot work is told before anything is made.
//! - A machine that was launched here and would only stop when its system powers off is ended at once.

pub(crate) mod look;
pub(crate) mod order;
pub(crate) mod program;
pub(crate) mod wait;

use std::time::UNIX_EPOCH;

use irp_launch::{
    settings::{Engine, Settings},
    values::{Arch, Image, InstanceType},
};

use crate::clock;

/// What a person may ask for beyond settings.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    /// What the machine is made from.
    pub(crate) image: Image,
    /// The network.
    pub(crate) vpc: Option<String>,
    /// The place in it.
    pub(crate) subnet: Option<String>,
    /// The launch template that says what is not said here.
    pub(crate) template: Option<String>,
    /// Tags for everything.
    pub(crate) tags: Vec<(String, String)>,
    /// Whether AWS may take the machine away again.
    pub(crate) spot: bool,
    /// An Elastic IP address for it.
    pub(crate) address: Option<String>,
}

/// The kind of machine: the one that is set, else the smallest that runs the program; `None` where a template decides.
pub(crate) fn instance_type(
    settings: &Settings,
    uploaded: Option<Arch>,
    has_template: bool,
) -> Option<InstanceType> {
    if let Some(kind) = &settings.instance_type {
        return Some(kind.value.clone());
    }
    if has_template {
        return None;
    }
    let of_engine = || match &settings.engine.value {
        // Arm costs less: it is taken where there is a choice.
        Engine::Irp(edges) if edges.iter().any(|edge| edge.arch == Some(Arch::Aarch64)) => None,
        Engine::Irp(edges) => edges.first().and_then(|edge| edge.arch),
        Engine::Caddy(archive) => archive.url.arch(),
    };
    let name = match uploaded.or_else(of_engine) {
        Some(Arch::X86_64) => irp_launch::price::DEFAULT_TYPE_X86_64,
        Some(Arch::Aarch64) | None => irp_launch::price::DEFAULT_TYPE,
    };
    name.parse().ok()
}

/// Now, in UNIX seconds.
pub(crate) fn unix_now() -> u64 {
    clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
