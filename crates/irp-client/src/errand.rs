//! Errands: a question to an edge, without a tunnel. See [`irp_wire::errand`].

use std::io;

use futures_util::future::BoxFuture;
use irp_wire::{
    errand::{Ask, Talk, TalkError, Told},
    hello::{HelloError, open_errand},
    tasks::Tasks,
};
use tokio_rustls::client::TlsStream;

use crate::{
    DialError, Edge, RootsError,
    dial::link::Link,
    visit::{Acquaintance, in_time},
};

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
        let dialer = edge.dialer(tasks.clone())?;
        let failed =
            |source: DialError| ErrandError::Connect { address: dialer.target(), source: Box::new(source) };
        let mut dialled = dialer.dial().await.map_err(failed)?;
        let (request, mut met) = (edge.request(), Acquaintance::of(edge));
        let (io, binding, host) = (&mut dialled.io, &dialled.binding, edge.host.as_str());
        let check = |identity: &_| met.check(identity);
        let opened = in_time(open_errand(io, binding, host, &request, edge.signer.as_ref(), check)).await;
        match opened {
            Ok(()) => Ok(Self { talk: Talk::new(dialled.io), _tasks: tasks }),
            // It hung up on the very first message, whose kind it does not know.
            Err(HelloError::Io(error)) if !met.proven && error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ErrandError::Old)
            }
            Err(error) => Err(failed(met.explain(error))),
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
            match told.ok_or_else(|| TalkError::Io(io::ErrorKind::UnexpectedEof.into()))? {
                Told::Done { count } => return Ok(count),
                Told::Failed { text } => return Err(ErrandError::Refused(text)),
                told => take(told),
            }
        }
    }
}
