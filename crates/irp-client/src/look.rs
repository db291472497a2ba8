//! Asking an edge how it is, without a session: nothing is claimed, and the idle timer goes on.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use irp_wire::{
    hello::{HELLO_TIMEOUT, HelloError, Request, ask},
    key::Signer,
    name::Hostname,
    report::Report,
    tasks::Tasks,
};
use tokio::time::timeout;

use crate::{
    DialError, EventSink, Interception, ProxySettings, Roots, RootsError, Timeouts,
    dial::{Destination, Dialer},
    known_edges,
};

/// How long programs and connections may take to end once the answer is here.
const TIDY_WITHIN: Duration = Duration::from_secs(1);

/// Whom to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Look {
    /// The edge's name: it is asked about.
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

/// Why an edge did not tell how it is.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It was not reached, is not the one that it should be, or refused.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The certificates to trust cannot be used.
    #[error("cannot set up trust")]
    Roots(#[from] RootsError),
}

/// Asks once. Dials at most as long as a client would for one attempt, and tries no second time.
///
/// # Errors
///
/// See [`LookError`].
pub fn look(look: Look) -> BoxFuture<'static, Result<Report, LookError>> {
    Box::pin(ask_once(look))
}

async fn ask_once(look: Look) -> Result<Report, LookError> {
    let tasks = Tasks::new();
    let _end_all = tasks.end_on_drop();
    let destination = Destination {
        host: look.host.clone(),
        port: look.port,
        connect_to: look.connect_to,
        proxy: look.proxy.for_host(&look.host, look.port).cloned(),
        carrier: None,
        timeouts: Timeouts::default(),
    };
    // Nobody hears what happens on the way: one answer or one error is all.
    let (events, _) = EventSink::channel();
    let dialer = Dialer::to(destination, &look.roots, events, tasks.clone())?;
    let mut dialled = dialer.dial().await?;
    let request =
        Request { names: vec![look.host.clone()], instance: 0, lanes_max: 0, agent: look.agent.clone() };
    let mut stranger = None;
    let check = |identity: &irp_wire::key::PublicKey| {
        known_edges::check(&look.known_edges, &look.host, look.port, identity).map(drop).map_err(|error| {
            let text = error.to_string();
            stranger = Some(error);
            text
        })
    };
    let host = look.host.as_str();
    let asked = ask(&mut dialled.io, &dialled.binding, host, &request, look.signer.as_ref(), check);
    let asked = timeout(HELLO_TIMEOUT, asked).await;
    let asked = asked.unwrap_or_else(|_| Err(HelloError::Io(std::io::ErrorKind::TimedOut.into())));
    drop(dialled);
    let _ = tasks.shutdown(TIDY_WITHIN).await;
    match (asked, stranger) {
        (Ok(report), _) => Ok(report.bounded()),
        (Err(HelloError::Proof), None) => Err(DialError::from(Interception::proof_lost(host)).into()),
        (Err(_), Some(stranger)) => Err(DialError::from(stranger).into()),
        (Err(error), None) => Err(DialError::from(error).into()),
    }
}
