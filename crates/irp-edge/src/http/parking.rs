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

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use irp_webhook::{Answer as OwnAnswer, Offline};
use irp_wire::headers::{FAILURE, Failure};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    body::{RequestBody, TunnelBody},
    budget::Lease,
    exchange::Running,
    pipeline::{Account, Answer, Hold, finish, forward},
    respond::Refusal,
    route::Route,
    service::Shared,
    webhook::{Note, Policies},
};
use crate::inbox::{Event, Head, Inbox, Parked, Queue};

/// So long before the provider gives up, an event is parked: time for the commit, and for the answer's way back.
const MARGIN: Duration = Duration::from_millis(500);
/// The most of a delivery's answer that is read, so that its connection can be used again.
const DRAINED: usize = 256 * 1024;
/// How long that may take.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);

/// A request that may be parked.
pub(super) struct Candidate {
    inbox: Inbox,
    queue: Queue,
    event: Event,
    deadline: Duration,
}

impl Candidate {
    /// `None` where the request must not be kept, or this edge keeps nothing.
    pub(super) fn of(
        shared: &Shared,
        route: &Route,
        note: Option<&Note>,
        request: &Request<RequestBody>,
    ) -> Option<Box<Self>> {
        let (inbox, note) = (shared.inbox.as_ref()?, note?);
        let keeping = note.keeping()?;
        let body = match request.body() {
            RequestBody::Whole(whole) => whole.shared(),
            RequestBody::Empty => bytes::Bytes::new(),
            _ => return None,
        };
        let head = Head {
            host: route.host().clone(),
            url: keeping.url.clone(),
            target: request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            provider: note.provider().name().to_owned(),
            kind: note.kind().map(ToOwned::to_owned),
            key: keeping.key,
            identity: keeping.identity,
            parked_at: inbox.now(),
        };
        Some(Box::new(Self {
            inbox: inbox.clone(),
            queue: Queue { host: head.host.clone(), path: head.path().to_owned() },
            event: Event { head, headers: request.headers().clone(), body },
            deadline: note.provider().manners().deadline,
        }))
    }

    /// What to do about it while nobody is there.
    fn offline(&self, note: &Note) -> Offline {
        let request = irp_webhook::Request {
            method: Method::POST.as_str(),
            url: &self.event.head.url,
            headers: &self.event.headers,
            body: &self.event.body,
        };
        note.provider().offline(&request)
    }

    fn text(&self, what: &str) -> String {
        let Head { provider, kind, .. } = &self.event.head;
        format!("{provider} ✓ {} ({what})", kind.as_deref().unwrap_or("event"))
    }
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
    if candidate.inbox.known(candidate.event.head.identity.as_ref()) {
        let (text, answer) = (candidate.text("kept before"), candidate.offline(&note));
        if let Offline::Park(answer) = answer {
            note.keep();
            return Ok(Answer::Own(answer, text));
        }
    }
    if candidate.inbox.has_backlog(&candidate.queue)
        && let Offline::Park(answer) = candidate.offline(&note)
    {
        return Box::pin(park(candidate, note, answer, "kept behind others")).await;
    }
    if route.tunnel().is_some() {
        running.reached_tunnel();
    }
    let patience = (candidate.deadline / 2).min(shared.limits.hold).saturating_sub(began.elapsed());
    let mut attempt = Box::pin(attempt(
        Arc::clone(shared),
        Arc::clone(route),
        policies,
        request,
        hold.map(|hold| hold.until(Instant::now() + patience)),
        patience,
    ));
    let answer_by = began + candidate.deadline.saturating_sub(MARGIN);
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
            note.keep();
            Ok(Answer::Own(answer, candidate.text("told that the program is away")))
        }
        Offline::AnswerAndPost { answer, url, body } => {
            running.stayed_at_edge();
            note.keep();
            let messenger = shared.messenger.clone();
            shared.tasks.spawn(async move { messenger.tell(&url, body).await });
            Ok(Answer::Own(answer, candidate.text("told that the program is away")))
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
    let text = candidate.text(how);
    candidate.inbox.park(candidate.event, false).await.map_err(Refusal::NotKept)?;
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
    let (inbox, text) = (candidate.inbox.clone(), candidate.text("kept: no answer yet"));
    match inbox.park(candidate.event, true).await {
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
                read += frame.data_ref().map_or(0, bytes::Bytes::len);
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
