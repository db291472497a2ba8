//! Asking an edge how it is.

use std::time::Duration;

use futures_util::future::BoxFuture;
use irp_wire::{hello::ask, report::Report, tasks::Tasks};

use crate::{
    DialError, Edge, RootsError,
    visit::{Acquaintance, in_time},
};

/// How long programs and connections may take to end once the answer is here.
const TIDY_WITHIN: Duration = Duration::from_secs(1);

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
pub fn look(edge: &Edge) -> BoxFuture<'_, Result<Report, LookError>> {
    Box::pin(ask_once(edge))
}

async fn ask_once(edge: &Edge) -> Result<Report, LookError> {
    let tasks = Tasks::new();
    let _end_all = tasks.end_on_drop();
    let mut dialled = edge.dialer(tasks.clone())?.dial().await?;
    let (request, mut met) = (edge.request(), Acquaintance::of(edge));
    let (io, binding, host) = (&mut dialled.io, &dialled.binding, edge.host.as_str());
    let asked =
        in_time(ask(io, binding, host, &request, edge.signer.as_ref(), |identity| met.check(identity))).await;
    drop(dialled);
    let _ = tasks.shutdown(TIDY_WITHIN).await;
    let report = asked.map_err(|error| met.explain(error))?;
    Ok(report.bounded())
}
