//! Many visitors at once, each of whom remembers what became of every request.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Door, Wire};
use crate::origin::TEST_ID;

/// How long a visitor waits after nobody let it in.
const KNOCK_AGAIN: Duration = Duration::from_millis(10);

/// Visitors who send one POST after the other over HTTP/1.1 with keep-alive, until they are told to stop.
///
/// Each request has its own [`TEST_ID`], so that the origin's counters tell how often it ran, and
/// [`Self::stop`] what its sender was told:
///
/// ```no_run
/// # async fn example(origin: irp_testkit::origin::Origin, door: irp_testkit::visitor::Door) {
/// use irp_testkit::{patience::eventually, visitor::Load};
///
/// let load = Load::start(&door, "alice.localhost", "/echo", 8);
/// eventually("some traffic", || load.answered() > 100).await;
/// // … kill the edge, start it again …
/// for sent in load.stop().await {
///     assert!(origin.counters().times(&sent.id) <= 1, "{sent:?} ran twice");
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Load {
    visitors: JoinSet<Vec<Sent>>,
    stop: CancellationToken,
    answered: Arc<AtomicU64>,
}

/// One request of a [`Load`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its [`TEST_ID`].
    pub id: String,
    /// The status of its answer, or how the connection broke before the answer was complete.
    pub outcome: Result<u16, io::ErrorKind>,
    /// When its first byte was sent.
    pub began: Instant,
    /// From then to the outcome.
    pub took: Duration,
}

impl Load {
    /// Lets this many visitors in at `door`, who ask `host` for `path`.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[must_use]
    pub fn start(door: &Door, host: &str, path: &str, visitors: usize) -> Self {
        let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let line = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n");
        let visitors = (0..visitors)
            .map(|at| visit(door.clone(), line.clone(), at, stop.clone(), answered.clone()))
            .collect();
        Self { visitors, stop, answered }
    }

    /// How many answers with a status of 2xx have come so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Lets every visitor finish the request in hand, and tells what became of all.
    ///
    /// # Panics
    ///
    /// When a visitor has panicked.
    pub async fn stop(self) -> Vec<Sent> {
        self.stop.cancel();
        self.visitors.join_all().await.concat()
    }
}

async fn visit(
    door: Door,
    line: String,
    at: usize,
    stop: CancellationToken,
    answered: Arc<AtomicU64>,
) -> Vec<Sent> {
    let (mut sent, mut open) = (Vec::new(), None);
    while !stop.is_cancelled() {
        let mut wire: Wire = match open.take() {
            Some(wire) => wire,
            None => match door.connect().await {
                Ok(wire) => wire,
                Err(_) => {
                    tokio::time::sleep(KNOCK_AGAIN).await;
                    continue;
                }
            },
        };
        let id = format!("load-{at}-{}", sent.len());
        let began = Instant::now();
        let outcome = post(&mut wire, &line, &id).await;
        if let Ok((status, again)) = outcome {
            answered.fetch_add(u64::from((200..300).contains(&status)), Relaxed);
            open = again.then_some(wire);
        }
        let outcome = outcome.map(|(status, _)| status).map_err(|error| error.kind());
        sent.push(Sent { id, outcome, began, took: began.elapsed() });
    }
    sent
}

/// Sends one request; with the status comes whether the connection can be used again.
async fn post(wire: &mut Wire, line: &str, id: &str) -> io::Result<(u16, bool)> {
    wire.send(format!("{line}{TEST_ID}: {id}\r\nContent-Length: {}\r\n\r\n{id}", id.len())).await?;
    let reply = wire.response().await?;
    let close = reply.values("connection").iter().any(|value| value.eq_ignore_ascii_case("close"));
    Ok((reply.status, !close))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        origin::{Bind, Options, Origin},
        patience::eventually,
    };

    #[tokio::test]
    async fn every_request_is_accounted_for_although_the_origin_is_replaced() {
        let origin = Origin::start();
        let address = origin.address();
        let load = Load::start(&Door::plain(address), "x", "/slow/5", 4);
        eventually("some traffic", || load.answered() > 20).await;
        let first = origin.counters().ids();
        drop(origin);
        let origin = Origin::with(Options { bind: Bind::Tcp(address), ..Options::default() }).unwrap();
        let before = load.answered();
        eventually("traffic again", || load.answered() > before + 20).await;
        let sent = load.stop().await;
        let answered = sent.iter().filter(|sent| sent.outcome == Ok(200)).count();
        let broken = sent.iter().filter(|sent| sent.outcome.is_err()).count();
        assert_eq!(answered + broken, sent.len());
        assert!(answered > 40 && (1..=8).contains(&broken), "{answered} answered, {broken} broken");
        assert!(first.values().all(|times| *times == 1));
        assert_eq!(origin.counters().times(&sent.last().unwrap().id), 1);
    }
}
