//! What the edge on a machine tells of itself: who is connected, when it ends, what does not work.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::join_all;
use irp_aws::ec2::State;
use irp_client::{Edge, ProxySettings, Roots, look};
use irp_wire::{
    causes::in_full,
    key::Signer,
    report::{Idle, Report},
};
use serde::Serialize;
use tokio::time::timeout;

use super::machines::{Engine, Machine};
use crate::{
    cli::machines::Asking,
    clock,
    config::client,
    environment::Environment,
    error::Failure,
    identity::{self, Wish},
    ui::Ui,
};

/// How long an edge may take to answer; it is a handshake and two messages.
const TOLD_WITHIN: Duration = Duration::from_secs(8);

/// The port of edges that irp launches.
const PORT: u16 = 443;

/// What an edge said, or why it said nothing.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Said {
    /// How it is.
    Told(Box<Report>),
    /// Why nobody knows, for people.
    Silent {
        /// The reason.
        unknown: String,
    },
}

/// Asks edges as one person.
pub(crate) struct Inquirer {
    /// Nothing where the edges are not to be asked, else who asks, or why nobody can.
    who: Option<Result<Who, String>>,
}

struct Who {
    signer: Arc<dyn Signer>,
    roots: Roots,
    known_edges: PathBuf,
    proxy: ProxySettings,
    connect_to: Option<SocketAddr>,
}

impl Inquirer {
    /// Finds the person's key. Without one only the edges' part stays unknown.
    pub(crate) async fn new(
        asking: &Asking,
        connect_to: Option<SocketAddr>,
        environment: &Environment,
        ui: &Ui,
    ) -> Self {
        if asking.no_edge {
            return Self { who: None };
        }
        let who =
            who(asking, connect_to, environment, ui).await.map_err(|failure| failure.message().to_owned());
        Self { who: Some(who) }
    }

    /// Asks the edges of all machines at once; nothing for those that cannot be asked.
    pub(crate) async fn ask_all(&self, machines: &[Machine]) -> Vec<Option<Said>> {
        join_all(machines.iter().map(|machine| self.ask(machine))).await
    }

    /// Asks one. `None` where it has nothing to tell: it is not running, or it is Caddy.
    pub(crate) async fn ask(&self, machine: &Machine) -> Option<Said> {
        let who = self.who.as_ref()?;
        if machine.state != State::Running || machine.engine != Engine::Irp {
            return None;
        }
        let silent = |unknown: String| Some(Said::Silent { unknown });
        let who = match who {
            Ok(who) => who,
            Err(why) => return silent(why.clone()),
        };
        let Some(address) = who.connect_to.or(machine.address().map(|address| (address, PORT).into())) else {
            return silent("it has no public address".to_owned());
        };
        let edge = Edge {
            host: machine.name.clone(),
            port: PORT,
            connect_to: Some(address),
            signer: Arc::clone(&who.signer),
            roots: who.roots.clone(),
            known_edges: who.known_edges.clone(),
            proxy: who.proxy.clone(),
            agent: client::AGENT.to_owned(),
        };
        match timeout(TOLD_WITHIN, look(&edge)).await {
            Ok(Ok(report)) => Some(Said::Told(Box::new(report))),
            Ok(Err(error)) => silent(in_full(&error)),
            Err(_) => silent(format!("no answer from {address} in {} s", TOLD_WITHIN.as_secs())),
        }
    }
}

async fn who(
    asking: &Asking,
    connect_to: Option<SocketAddr>,
    environment: &Environment,
    ui: &Ui,
) -> Result<Who, Failure> {
    let wish = Wish { file: asking.key.as_deref(), agent_only: false, no_agent: false };
    Ok(Who {
        signer: identity::find(wish, environment, ui).await?,
        roots: asking.cacert.clone().map_or(Roots::System, Roots::SystemAnd),
        known_edges: client::known_edges(environment)?,
        proxy: client::proxy(environment)?,
        connect_to,
    })
}

impl Said {
    /// How many are connected.
    pub(crate) fn sessions(&self) -> Option<u32> {
        match self {
            Self::Told(report) => Some(report.sessions),
            Self::Silent { .. } => None,
        }
    }

    /// How many events wait there for a tunnel.
    pub(crate) fn parked(&self) -> u64 {
        match self {
            Self::Told(report) => report.parked.unwrap_or(0),
            Self::Silent { .. } => 0,
        }
    }

    /// Whether the next machine of the name takes them in.
    pub(crate) fn outlive(&self) -> bool {
        matches!(self, Self::Told(report) if report.parked_outlive)
    }

    /// When the machine ends itself.
    pub(crate) fn end(&self) -> Option<String> {
        let Self::Told(report) = self else { return None };
        let words = |seconds| clock::words(Duration::from_secs(seconds));
        Some(match report.idle {
            Idle::Never => "never".to_owned(),
            Idle::Held { after_s } => format!("{} after the last one leaves", words(after_s)),
            Idle::Running { left_s } => format!("in {}", words(left_s)),
            Idle::Ending => "now".to_owned(),
            _ => return None,
        })
    }
}
