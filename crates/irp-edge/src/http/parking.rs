//! Hybrid delivery: a verified event goes to the upstream like any request, and the program's real answer comes back.
//! Where nobody is there to take it, it is parked in the [inbox](crate::inbox), and acknowledged:
//!
//! - there is no tunnel, and none came within half of the time that the provider waits;
//! - the upstream refused the connection, or broke it off without an answer: the provider would send it again, too;
//! - half a second before the provider's time is over there is no answer. The attempt goes on, and counts as the first
//!   delivery;
//! - older events of the same name and path wait, so this one queues behind them.
//!
//! What the program answers, be it 4xx or 5xx, is its own affair and goes back as it is.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use irp_webhook::{Answer as OwnAnswer, Offline};
use irp_wire::{
    headers::{FAILURE, Failure},
    name::Hostname,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    body::{RequestBody, TunnelBody},
    budget::Lease,
    exchange::Running,
    pipeline::{Account, Answer, Hold, finish, forward},
    respond::Refusal,
    route::Route,
    service::Shared,
    webhook::{Keeping, Note, Policies},
};
use crate::inbox::{Event, Head, Inbox, Parked};

/// So long before the provider gives up, an event is parked: time for the commit, and for the answer's way back.
const MARGIN: Duration = Duration::from_millis(500);
/// The most of a delivery's answer that is read, so that its connection can be used again.
const DRAINED: usize = 256 * 1024;
/// How long that may take.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);

/// A request that may be parked.
pub(super) struct Candidate {
    inbox: Inbox,
    host: Hostname,
    keeping: Keeping,
    target: Uri,
    /// Those for the upstream.
    headers: HeaderMap,
    body: Bytes,
    /// When it came, in milliseconds since 1970.
    came_at: u64,
}

impl Candidate {
    /// `None` where the request must not be kept, or this edge keeps nothing.
    pub(super) fn of(
        shared: &Shared,
        route: &Route,
        note: Option<&mut Note>,
        request: &Request<RequestBody>,
    ) -> Option<Box<Self>> {
        let inbox = shared.inbox.as_ref()?;
        let keeping = note?.take_keeping()?;
        let body = match request.body() {
            RequestBody::Whole(whole) => whole.shared(),
            RequestBody::Empty => Bytes::new(),
            _ => return None,
        };
        Some(Box::new(Self {
            inbox: inbox.clone(),
            host: route.host().clone(),
            keeping,
            target: request.uri().clone(),
            headers: request.headers().clone(),
            body,
            came_at: inbox.now(),
        }))
    }

    /// Whether older events of the same name and path wait.
    fn has_backlog(&self) -> bool {
        self.inbox.has_backlog(&self.host, self.target.path())
    }

    /// What to do about it while nobody is there.
    fn offline(&self, note: &Note) -> Offline {
        let request = irp_webhook::Request {
            method: Method::POST.as_str(),
            url: &self.keeping.url,
            headers: &self.headers,
            body: &self.body,
        };
        note.provider().offline(&request)
    }

    /// The event that is kept. Made only then: most requests are answered by the program.
    fn into_event(self, note: &Note) -> Event {
        let Keeping { url, known } = self.keeping;
        let head = Head {
            host: self.host,
            url,
            target: self.target.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            provider: note.provider().name().to_owned(),
            kind: note.kind().map(ToOwned::to_owned),
            key: known.key,
            identity: known.identity,
            parked_at: self.came_at,
        };
        Event { head, headers: self.headers, body: self.body }
    }
}

fn text(note: &Note, what: &str) -> String {
    format!("{} ✓ {} ({what})", note.provider().name(), note.kind().unwrap_or("event"))
}

/// What the request goes through, beside its candidate.
pub(super) struct Passage<'p> {
    pub(super) shared: &'p Arc<Shared>,
    pub(super) route: &'p Arc<Route>,
    pub(super) policies: Option<Arc<Policies>>,
    pub(super) began: Instant,
    pub(super) hold: Option<Hold>,
}

/// Sends it on, or parks it. What happens only while nobody is there is boxed, so that the others do not carry its state
/// about.
pub(super) async fn pass(
    passage: Passage<'_>,
    candidate: Box<Candidate>,
    note: Box<Note>,
    request: Box<Request<RequestBody>>,
    running: &mut Running,
) -> Result<Answer, Refusal> {
    let Passage { shared, route, policies, began, hold } = passage;
    if candidate.keeping.known.is_kept
        && let Offline::Park(answer) = candidate.offline(&note)
    {
        let text = text(&note, "kept before");
        note.keep();
        return Ok(Answer::Own(answer, text));
    }
    if candidate.has_backlog()
        && let Offline::Park(answer) = candidate.offline(&note)
    {
        return Box::pin(park(candidate, note, answer, "kept behind others")).await;
    }
    if route.tunnel().is_some() {
        running.reached_tunnel();
    }
    let deadline = note.provider().manners().deadline;
    let patience = (deadline / 2).min(shared.limits.hold).saturating_sub(began.elapsed());
    let mut attempt = Box::pin(attempt(
        Arc::clone(shared),
        Arc::clone(route),
        policies,
        request,
        hold.map(|hold| hold.until(Instant::now() + patience)),
        patience,
    ));
    let answer_by = began + deadline.saturating_sub(MARGIN);
    let outcome = match timeout_at(answer_by, &mut attempt).await {
        Ok(outcome) => outcome,
        Err(_) => match candidate.offline(&note) {
            Offline::Park(answer) => {
                return Box::pin(late(shared, candidate, note, answer, attempt, running)).await;
            }
            // A person waits, and the program is at it.
            _ => attempt.await,
        },
    };
    let refusal = match outcome {
        Ok((response, mut account)) => match response.headers().get(FAILURE).map(Refusal::from_client) {
            None => {
                running.take_over(&mut account);
                note.keep();
                return finish(response, None);
            }
            Some(refusal) => refusal,
        },
        Err(refusal) => refusal,
    };
    if !is_away(&refusal) {
        return Err(refusal);
    }
    match candidate.offline(&note) {
        Offline::Park(answer) => {
            running.stayed_at_edge();
            Box::pin(park(candidate, note, answer, "kept")).await
        }
        Offline::Refuse => Err(refusal),
        Offline::Answer(answer) => {
            running.stayed_at_edge();
            let text = text(&note, "told that the program is away");
            note.keep();
            Ok(Answer::Own(answer, text))
        }
        Offline::AnswerAndPost { answer, url, body } => {
            running.stayed_at_edge();
            let text = text(&note, "told that the program is away");
            note.keep();
            let messenger = shared.messenger.clone();
            shared.tasks.spawn(async move { messenger.tell(&url, body).await });
            Ok(Answer::Own(answer, text))
        }
    }
}

/// Whether nobody was there to take the request, or to answer it.
fn is_away(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::NoTunnel
            | Refusal::UpstreamRefused { .. }
            | Refusal::UpstreamBroken(_)
            | Refusal::UpstreamSlow(_)
    )
}

/// Parks an event, and acknowledges it with `answer`.
async fn park(
    candidate: Box<Candidate>,
    note: Box<Note>,
    answer: OwnAnswer,
    how: &str,
) -> Result<Answer, Refusal> {
    let text = text(&note, how);
    let inbox = candidate.inbox.clone();
    inbox.park(candidate.into_event(&note), false).await.map_err(Refusal::NotKept)?;
    note.keep();
    Ok(Answer::Own(answer, text))
}

/// The provider's time is nearly over: the event is parked, and the attempt goes on as its first delivery. Where it
/// cannot be parked, the program's answer is all there is, late as it may be.
async fn late(
    shared: &Arc<Shared>,
    candidate: Box<Candidate>,
    note: Box<Note>,
    answer: OwnAnswer,
    attempt: impl Future<Output = Attempted> + Send + Unpin + 'static,
    running: &mut Running,
) -> Result<Answer, Refusal> {
    let (inbox, text) = (candidate.inbox.clone(), text(&note, "kept: no answer yet"));
    match inbox.park(candidate.into_event(&note), true).await {
        Ok(parked) => {
            running.stayed_at_edge();
            note.keep();
            if let Parked::New(number) = parked {
                let first = First { inbox, number };
                shared.tasks.spawn(async move { first.deliver(attempt).await });
            }
            Ok(Answer::Own(answer, text))
        }
        Err(error) => {
            tracing::warn!(%error, "an event without an answer cannot be kept");
            let (response, mut account) = attempt.await?;
            running.take_over(&mut account);
            if !response.headers().contains_key(FAILURE) {
                note.keep();
            }
            finish(response, None)
        }
    }
}

/// The attempt of a request that was acknowledged meanwhile. However it ends, its event can be delivered afterwards.
struct First {
    inbox: Inbox,
    number: u64,
}

impl First {
    async fn deliver(self, attempt: impl Future<Output = Attempted>) {
        let verdict = match attempt.await {
            Ok((response, _account)) => Verdict::of(response).await,
            Err(refusal) if is_away(&refusal) => Verdict::Away(refusal.to_string()),
            Err(refusal) => Verdict::Failed(refusal.to_string()),
        };
        match verdict {
            Verdict::Delivered => self.inbox.delivered(self.number).await,
            Verdict::Failed(_) => {
                let _ = self.inbox.attempt_failed(self.number, true).await;
            }
            Verdict::Away(_) => {}
        }
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.inbox.attempt_ended(self.number);
    }
}

/// How an attempt at a delivery ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// 2xx.
    Delivered,
    /// Another answer, or none where the request had been sent.
    Failed(String),
    /// Nobody was there.
    Away(String),
}

impl Verdict {
    /// Judges by the head of an answer, and reads the rest, so that its connection can be used again.
    pub(crate) async fn of(response: Response<TunnelBody>) -> Self {
        if let Some(value) = response.headers().get(FAILURE) {
            let (failure, detail) = Failure::from_header(value);
            return match failure {
                Failure::Refused | Failure::TimedOut => Self::Away(detail),
                Failure::Broken | Failure::Loop => Self::Failed(detail),
            };
        }
        let status = response.status();
        let mut body = response.into_body();
        let _ = timeout(DRAINED_WITHIN, async {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > DRAINED {
                    return;
                }
            }
        })
        .await;
        if status.is_success() { Self::Delivered } else { Self::Failed(status.to_string()) }
    }
}

type Attempted = Result<(Response<TunnelBody>, Reserve), Refusal>;

/// The same as [`forward`], but nobody's own: it can outlive the request.
async fn attempt(
    shared: Arc<Shared>,
    route: Arc<Route>,
    policies: Option<Arc<Policies>>,
    request: Box<Request<RequestBody>>,
    hold: Option<Hold>,
    patience: Duration,
) -> Attempted {
    let mut account = Reserve { shared: Arc::clone(&shared), lease: None };
    let response = forward(&shared, &route, policies.as_ref(), request, hold, patience, &mut account).await?;
    Ok((response, account))
}

/// The share of the byte budget of an attempt.
pub(super) struct Reserve {
    shared: Arc<Shared>,
    pub(super) lease: Option<Lease>,
}

impl Account for Reserve {
    fn reserve(&mut self) -> bool {
        self.lease = self.shared.budget.take(self.shared.limits.exchange_bytes());
        self.lease.is_some()
    }

    fn unreserve(&mut self) {
        self.lease = None;
    }

    fn reached_tunnel(&mut self) {}
}
