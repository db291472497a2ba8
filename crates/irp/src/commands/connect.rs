//! `irp connect HOST[:PORT] UPSTREAM`.

use std::process::ExitCode;

use irp_client::{ClientConfig, Roots, STREAM_WINDOW, Timeouts};

use super::tunnel::{self, Leave};
use crate::{
    cli::forward::Connect,
    config::{
        client::{self, Forwarding},
        policies,
    },
    environment::Environment,
    error::Failure,
    identity::{self, Wish},
    signals::Signals,
    ui::Ui,
};

/// Runs the client until it is told to leave, or coming back is pointless.
pub(super) async fn run(flags: Connect, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let wish = Wish { file: flags.key.as_deref(), agent_only: flags.agent, no_agent: flags.no_agent };
    let signer = identity::find(wish, environment, ui).await?;
    let forwarding = Forwarding::from(&flags.forward);
    let names = if flags.names.is_empty() { vec![flags.edge.host.clone()] } else { flags.names };
    let upstream = flags.upstream.to_string();
    let config = ClientConfig {
        host: flags.edge.host,
        port: flags.edge.port,
        connect_to: flags.connect_to,
        carrier: None,
        names,
        signer,
        roots: flags.cacert.map_or(Roots::System, Roots::SystemAnd),
        known_edges: client::known_edges(environment)?,
        upstream: flags.upstream,
        upstream_trust: forwarding.trust,
        host_header: forwarding.host_header,
        lanes_max: forwarding.lanes_max,
        stream_window: STREAM_WINDOW,
        timeouts: Timeouts::default(),
        policies: policies::for_flags(&flags.webhooks)?,
        proxy: client::proxy(environment)?,
        agent: client::AGENT.to_owned(),
    };
    tunnel::hold(config, &upstream, None, Leave::at_once(), &mut signals, ui).await
}
