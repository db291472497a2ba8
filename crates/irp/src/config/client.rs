//! What the client runs with, from what was typed.

use std::path::PathBuf;

use irp_client::{HostHeader, LANES_MAX, NoProxy, ProxyError, ProxySettings, UpstreamTrust};
use secrecy::ExposeSecret as _;

use crate::{
    cli::forward::Forward,
    environment::Environment,
    error::{Failure, Kind},
};

/// How the client calls itself in the edge's log.
pub(crate) const AGENT: &str = concat!("irp/", env!("CARGO_PKG_VERSION"));

/// The way of requests, complete.
#[derive(Clone, Debug)]
pub(crate) struct Forwarding {
    /// The `Host` that the upstream sees.
    pub(crate) host_header: HostHeader,
    /// Which certificate an `https://` upstream must show.
    pub(crate) trust: UpstreamTrust,
    /// The most lanes to hold open.
    pub(crate) lanes_max: u16,
}

impl From<&Forward> for Forwarding {
    fn from(flags: &Forward) -> Self {
        let trust = match (&flags.upstream_ca, flags.upstream_insecure) {
            (Some(file), _) => UpstreamTrust::Authority(file.clone()),
            (None, true) => UpstreamTrust::Insecure,
            (None, false) => UpstreamTrust::System,
        };
        Self {
            host_header: flags.host_header.clone().unwrap_or_default(),
            trust,
            lanes_max: flags.lanes.unwrap_or(LANES_MAX),
        }
    }
}

/// The proxy of this network.
///
/// # Errors
///
/// When `HTTPS_PROXY` names none that can be used.
pub(crate) fn proxy(environment: &Environment) -> Result<ProxySettings, Failure> {
    let https =
        environment.https_proxy.as_ref().map(|proxy| proxy.expose_secret().parse()).transpose().map_err(
            |error: ProxyError| {
                Failure::new(Kind::Config, "HTTPS_PROXY is of no use")
                    .because(&error)
                    .hint("HTTPS_PROXY=http://proxy.example.com:3128, or leave it out")
            },
        )?;
    let except = environment.no_proxy.as_deref().map(NoProxy::parse).unwrap_or_default();
    Ok(ProxySettings { https, except })
}

/// The file of the edges that this PC knows.
///
/// # Errors
///
/// When the environment names no folder for it.
pub(crate) fn known_edges(environment: &Environment) -> Result<PathBuf, Failure> {
    Ok(super::state_dir(environment)?.join("known_edges"))
}
