//! A visit to an edge: one connection without a session. Nothing is claimed, and the idle timer goes on.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use irp_wire::{
    hello::{HELLO_TIMEOUT, HelloError, Request},
    key::{PublicKey, Signer},
    name::Hostname,
    tasks::Tasks,
};
use tokio::time::timeout;

use crate::{
    DialError, EventSink, Interception, ProxySettings, Roots, RootsError, Timeouts,
    dial::{Destination, Dialer},
    known_edges::{self, KnownEdgesError},
};

/// Which edge is visited, and by whom.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The edge's name, which is also the name that it is asked about.
    pub host: Hostname,
    /// The edge's port.
    pub port: u16,
    /// Dial this address instead of what the name resolves to.
    pub connect_to: Option<SocketAddr>,
    /// Signs for the person, whose key must be one that may hold the name.
    pub signer: Arc<dyn Signer>,
    /// Which certificate authorities may vouch for the edge.
    pub roots: Roots,
    /// The file of the edges known so far; see [`crate::known_edges`].
    pub known_edges: PathBuf,
    /// How to get out of this network.
    pub proxy: ProxySettings,
    /// The program and its version, for the edge's log.
    pub agent: String,
}

impl Edge {
    /// Dials it, for one attempt. `tasks` owns the programs that carry the connection.
    pub(crate) fn dialer(&self, tasks: Tasks) -> Result<Dialer, RootsError> {
        let destination = Destination {
            host: self.host.clone(),
            port: self.port,
            connect_to: self.connect_to,
            proxy: self.proxy.for_host(&self.host, self.port).cloned(),
            carrier: None,
            timeouts: Timeouts::default(),
        };
        // Nobody hears what happens on the way: one answer or one error is all.
        Dialer::to(destination, &self.roots, EventSink::channel().0, tasks)
    }

    /// What is said in the hello.
    pub(crate) fn request(&self) -> Request {
        Request { names: vec![self.host.clone()], instance: 0, lanes_max: 0, agent: self.agent.clone() }
    }
}

/// What a hello found out about who is at the other end.
pub(crate) struct Acquaintance<'e> {
    edge: &'e Edge,
    /// It has proven that it is who it says.
    pub(crate) proven: bool,
    /// And that is not the edge which is known.
    stranger: Option<KnownEdgesError>,
}

impl<'e> Acquaintance<'e> {
    pub(crate) fn of(edge: &'e Edge) -> Self {
        Self { edge, proven: false, stranger: None }
    }

    /// Compares the identity with the one that is known, or notes it.
    pub(crate) fn check(&mut self, identity: &PublicKey) -> Result<(), String> {
        self.proven = true;
        let Edge { known_edges, host, port, .. } = self.edge;
        known_edges::check(known_edges, host, *port, identity).map(drop).map_err(|error| {
            let told = error.to_string();
            self.stranger = Some(error);
            told
        })
    }

    /// Why the hello failed.
    pub(crate) fn explain(self, error: HelloError) -> DialError {
        match (error, self.stranger) {
            (HelloError::Proof, None) => Interception::proof_lost(self.edge.host.as_str()).into(),
            (_, Some(stranger)) => stranger.into(),
            (error, None) => error.into(),
        }
    }
}

/// Waits for a hello as long as one may take.
pub(crate) async fn in_time<T>(hello: impl Future<Output = Result<T, HelloError>>) -> Result<T, HelloError> {
    let said = timeout(HELLO_TIMEOUT, hello).await;
    said.unwrap_or_else(|_| Err(HelloError::Io(std::io::ErrorKind::TimedOut.into())))
}
