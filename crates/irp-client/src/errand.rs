//! Errands: a question to an edge, without a tunnel. See [`irp_wire::errand`].

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use irp_wire::{
    errand::{Ask, Talk, TalkError, Told},
    hello::{HELLO_TIMEOUT, HelloError, Request, open_errand},
    key::Signer,
    name::Hostname,
    tasks::Tasks,
};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::{
    DialError, Interception, ProxySettings, Roots, RootsError, Timeouts,
    dial::{Dialer, link::Link},
    known_edges::{self, KnownEdgesError},
};

/// Where an errand goes, and who has it.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The edge's name, which is also the name that the errand is about.
    pub host: Hostname,
    /// The edge's port.
    pub port: u16,
    /// Dial this address instead of what the name resolves to.
    pub connect_to: Option<SocketAddr>,
    /// Signs for the person.
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

/// Why an errand failed.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// There is no connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// What was dialled.
        address: String,
        /// Why.
        #[source]
        source: Box<DialError>,
    },
    /// The certificates to trust cannot be used.
    #[error("cannot set up trust")]
    Roots(#[from] RootsError),
    /// The edge does not know what an errand is.
    #[error("the edge is of an earlier version, which answers no such questions")]
    Old,
    /// The conversation broke off.
    #[error("the edge does not answer")]
    Talk(#[from] TalkError),
    /// The edge says no.
    #[error("the edge says: {0}")]
    Refused(String),
}

/// A conversation with an edge.
pub struct Errand {
    talk: Talk<TlsStream<Link>>,
    _tasks: Tasks,
}

impl Errand {
    /// Dials the edge, and proves the key.
    ///
    /// # Errors
    ///
    /// See [`ErrandError`].
    pub fn open(edge: &Edge) -> BoxFuture<'_, Result<Self, ErrandError>> {
        Box::pin(Self::dial(edge))
    }

    async fn dial(edge: &Edge) -> Result<Self, ErrandError> {
        let tasks = Tasks::new();
        let dialer = Dialer::for_errand(edge, Timeouts::default(), tasks.clone())?;
        let failed =
            |source: DialError| ErrandError::Connect { address: dialer.target(), source: Box::new(source) };
        let mut dialled = dialer.dial().await.map_err(failed)?;
        let request =
            Request { names: vec![edge.host.clone()], instance: 0, lanes_max: 0, agent: edge.agent.clone() };
        let broken: Mutex<Option<KnownEdgesError>> = Mutex::default();
        let proven = Mutex::new(false);
        let check = |identity: &_| {
            *proven.lock().unwrap_or_else(PoisonError::into_inner) = true;
            known_edges::check(&edge.known_edges, &edge.host, edge.port, identity).map(drop).map_err(
                |error| {
                    let told = error.to_string();
                    *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    told
                },
            )
        };
        let (io, binding, host) = (&mut dialled.io, &dialled.binding, edge.host.as_str());
        let opening = open_errand(io, binding, host, &request, edge.signer.as_ref(), check);
        let opened = timeout(HELLO_TIMEOUT, opening).await;
        let opened = opened.unwrap_or_else(|_| Err(HelloError::Io(std::io::ErrorKind::TimedOut.into())));
        let proven = proven.into_inner().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(()) => Ok(Self { talk: Talk::new(dialled.io), _tasks: tasks }),
            // It hung up on the very first message, whose kind it does not know.
            Err(HelloError::Io(error)) if !proven && error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(ErrandError::Old)
            }
            Err(HelloError::Proof) => Err(failed(Interception::proof_lost(host).into())),
            Err(error) => {
                let broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
                Err(failed(broken.map_or_else(|| error.into(), Into::into)))
            }
        }
    }

    /// Asks, and hands each thing that the edge tells to `take`; returns how many events it was about.
    ///
    /// # Errors
    ///
    /// See [`ErrandError`].
    pub async fn ask(&mut self, ask: &Ask, mut take: impl FnMut(Told)) -> Result<u64, ErrandError> {
        self.talk.say(ask).await?;
        loop {
            let told = self.talk.hear::<Told>().await?;
            match told.ok_or_else(|| TalkError::Io(std::io::ErrorKind::UnexpectedEof.into()))? {
                Told::Done { count } => return Ok(count),
                Told::Failed { text } => return Err(ErrandError::Refused(text)),
                told => take(told),
            }
        }
    }
}
