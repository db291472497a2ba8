//! The life of a request: limits → route → access → verify → hold → forward (or park) → answer, in this order. Each step is a
//! function that can be read alone; every way out but the last is a [`Refusal`].

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, header, request};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use irp_wire::headers::FAILURE;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    access::Denied,
    body::{Progress, RequestBody, TunnelBody, VisitorBody, Whole},
    budget::Lease,
    connection::Connection,
    exchange::Running,
    expect,
    headers::{self, Malformed, Target},
    parking::{self, Candidate, Passage},
    respond::{self, Form, Refusal},
    route::{Place, Route},
    service::Shared,
    upgrade,
    webhook::{self, Note, Outcome, Policies},
};
use crate::tunnels::{SendError, Tunnel, Unsent};

/// How soon a tunnel that refused a request is asked again while the request is held.
const RETRY: Duration = Duration::from_millis(100);
/// The type of server-sent events.
const EVENTS: &[u8] = b"text/event-stream";
/// The types of bodies whose streams may be quiet for long.
const GRPC: &[u8] = b"application/grpc";

/// Answers one request of a visitor.
pub(super) async fn answer(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Response<VisitorBody> {
    let (mut parts, body) = request.into_parts();
    let mut running = Running::begin(&shared, &connection, &parts.method, &parts.uri);
    let accept = parts.headers.get(header::ACCEPT).cloned();
    let method = parts.method.clone();
    let http1 = parts.version != Version::HTTP_2;
    let refusal = match steps(&shared, &connection, &mut parts, body, &mut running).await {
        Ok(Answer::Whole(response)) => {
            running.answered(response.status(), None);
            if is_endless(response.headers()) {
                running.is_endless();
            }
            if response.body().is_end_stream() {
                running.complete();
            }
            return response.map(|body| VisitorBody::Tunnel { body, running });
        }
        Ok(Answer::Upgraded(response, visitor, tunnel)) => {
            running.answered(response.status(), None);
            let stop = shared.tasks.token().clone();
            let copy = upgrade::copy(visitor, tunnel, connection, shared.limits.clone(), running, stop);
            shared.tasks.spawn(copy);
            return response.map(|_| VisitorBody::Page(None));
        }
        Ok(Answer::Own(answer, text)) => {
            let response = respond::answer(answer, &method);
            running.answered(response.status(), Some(&text));
            return response;
        }
        Err(refusal) => refusal,
    };
    let response = respond::refuse(&refusal, &method, Form::of(accept.as_ref()), http1);
    running.answered(response.status(), Some(&refusal));
    response
}

/// A stream of events ends when its reader has enough, so nobody waits for its end.
fn is_endless(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENTS))
}

/// What comes back from the tunnel.
pub(super) enum Answer {
    Whole(Response<TunnelBody>),
    /// The connection changes its protocol: the head of the answer, and both ends.
    Upgraded(Response<TunnelBody>, OnUpgrade, OnUpgrade),
    /// The edge answers by itself; the text tells what it was.
    Own(irp_webhook::Answer, String),
}

async fn steps(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    parts: &mut request::Parts,
    body: Incoming,
    running: &mut Running,
) -> Result<Answer, Refusal> {
    let began = Instant::now();
    check_limits(shared, connection)?;
    let target = check_shape(shared, parts)?;
    let route = find_route(shared, connection, &target)?;
    let place = enter(shared, route)?;
    let route = Arc::clone(place.route());
    running.hold_place(place);
    if let Some(answer) = shared.host_keys.answer(&parts.method, parts.uri.path()).await {
        return Ok(Answer::Own(answer, "the keys of the machine's sshd".to_owned()));
    }
    check_access(&route, connection, parts)?;
    let hold = wait_for_policies(shared, &route, parts).await?;
    let policies = route.policies();
    let (body, mut note) = match verify(shared, policies.as_deref(), &target, parts, body).await? {
        Verified::Pass(body, note) => (body, note),
        Verified::Answer(answer, text) => return Ok(Answer::Own(answer, text)),
    };
    if note.is_some() {
        // The body is here already, so nobody waits to be asked for it.
        parts.headers.remove(header::EXPECT);
    }
    let (mut request, visitor) = prepare(shared, connection, &target, parts, body)?;
    if let Some(note) = &note {
        note.tell(request.headers_mut());
    }
    let keepable = note.as_deref_mut().filter(|_| visitor.is_none());
    let candidate = Candidate::of(shared, &route, keepable, &request);
    let note = match (note, candidate) {
        (Some(note), Some(candidate)) => {
            let passage = Passage { shared, route: &route, policies, began, hold };
            // Boxed, so that other requests do not carry its state about.
            return Box::pin(parking::pass(passage, candidate, note, request, running)).await;
        }
        (note, _) => note,
    };
    let patience = shared.limits.hold;
    let response = forward(shared, &route, policies.as_ref(), request, hold, patience, running).await?;
    if let Some(note) = note.filter(|_| !response.headers().contains_key(FAILURE)) {
        note.keep();
    }
    finish(response, visitor)
}

/// Limits: the requests in flight in all, and whether there is memory for this connection at all.
fn check_limits(shared: &Shared, connection: &Connection) -> Result<(), Refusal> {
    if connection.starved {
        return Err(Refusal::Overloaded("no memory for another connection"));
    }
    // This request is counted already.
    if shared.requests() > shared.limits.in_flight {
        return Err(Refusal::Overloaded("too many requests in flight"));
    }
    Ok(())
}

/// Shape: the request means one thing only, and has not been here before.
fn check_shape(shared: &Shared, parts: &mut request::Parts) -> Result<Target, Refusal> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    headers::join_cookies(&mut parts.headers);
    if parts.headers.len() > headers::FIELDS_MAX {
        return Err(Refusal::Fields);
    }
    let target = Target::of(parts)?;
    if headers::has_passed(&parts.headers, &shared.mark) {
        return Err(Refusal::Loop);
    }
    Ok(target)
}

/// Route: the name must be served here.
fn find_route(shared: &Shared, connection: &Connection, target: &Target) -> Result<Arc<Route>, Refusal> {
    let name = target.name();
    shared.routes.route(&name).ok_or_else(|| {
        let same = connection.sni.as_ref().is_none_or(|sni| sni.as_str() == name);
        if same { Refusal::Unknown } else { Refusal::Misdirected }
    })
}

/// Limits of one name.
fn enter(shared: &Shared, route: Arc<Route>) -> Result<Place, Refusal> {
    route
        .enter(shared.limits.in_flight_per_name)
        .map_err(|_| Refusal::Overloaded("too many requests in flight for this name"))
}

/// Access rules.
fn check_access(route: &Route, connection: &Connection, parts: &mut request::Parts) -> Result<(), Refusal> {
    let access = route.access();
    let visitor = connection.forwarding.visitor(&parts.headers);
    access.check(visitor, parts.headers.get(header::AUTHORIZATION)).map_err(|denied| match denied {
        Denied::Address => Refusal::Address,
        Denied::Credentials => Refusal::Credentials(route.host().clone()),
    })?;
    if access.takes_credentials() {
        // They were meant for the edge.
        parts.headers.remove(header::AUTHORIZATION);
    }
    Ok(())
}

/// A body as it came, or read to its end.
enum Arrived {
    Streaming(Incoming),
    Whole(Whole),
}

/// What verification makes of a request.
enum Verified {
    Pass(Arrived, Option<Box<Note>>),
    Answer(irp_webhook::Answer, String),
}

/// Policies come with the first client of a name: what waits for it is judged by them.
async fn wait_for_policies(
    shared: &Arc<Shared>,
    route: &Route,
    parts: &request::Parts,
) -> Result<Option<Hold>, Refusal> {
    if route.tunnel().is_some() || route.policies().is_some() {
        return Ok(None);
    }
    let hold =
        Hold::begin(shared, &parts.headers, &parts.uri, shared.limits.hold).ok_or(Refusal::NoTunnel)?;
    timeout_at(hold.deadline, route.arrived()).await.map_err(|_| Refusal::NoTunnel)?;
    Ok(Some(hold))
}

/// Verify the signature, then answer handshakes; where the name has policies.
async fn verify(
    shared: &Shared,
    policies: Option<&Policies>,
    target: &Target,
    parts: &request::Parts,
    body: Incoming,
) -> Result<Verified, Refusal> {
    let Some(policies) = policies else {
        return Ok(Verified::Pass(Arrived::Streaming(body), None));
    };
    // Boxed, so that a name without policies does not carry its state about.
    let checked = Box::pin(webhook::check(shared, policies, target, parts, body)).await?;
    Ok(match checked {
        Outcome::Open(body) => Verified::Pass(Arrived::Streaming(body), None),
        Outcome::Checked(whole, note) => Verified::Pass(Arrived::Whole(whole), Some(note)),
        Outcome::Answered(answer, text) => Verified::Answer(answer, text),
    })
}

/// Makes the request that goes into the tunnel; for an upgrade, also the visitor's end of it.
fn prepare(
    shared: &Shared,
    connection: &Arc<Connection>,
    target: &Target,
    parts: &mut request::Parts,
    body: Arrived,
) -> Result<(Box<Request<RequestBody>>, Option<OnUpgrade>), Refusal> {
    let protocol = headers::upgrade(parts);
    let is_upgrade = protocol.is_some();
    let is_grpc =
        parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(GRPC));
    let pause_limit = (!is_grpc).then_some(shared.limits.upload_idle);
    let body = match body {
        Arrived::Streaming(body) => RequestBody::new(body, pause_limit),
        Arrived::Whole(whole) if whole.bytes().is_empty() => RequestBody::Empty,
        Arrived::Whole(whole) => RequestBody::Whole(whole),
    };
    if is_upgrade && !matches!(body, RequestBody::Empty) {
        return Err(Malformed::UpgradeBody.into());
    }
    headers::clean_request(&mut parts.headers, protocol);
    connection.forwarding.apply(&mut parts.headers, &target.host);
    headers::mark(&mut parts.headers, &shared.mark_value);
    if !parts.headers.contains_key(header::HOST) {
        parts.headers.insert(header::HOST, target.host.clone());
    }
    // Boxed, since each of the futures it passes through on its way to the tunnel would have room for it.
    let mut request = Box::new(Request::new(body));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = headers::origin_form(&parts.uri);
    *request.headers_mut() = std::mem::take(&mut parts.headers);
    if expect::asks_first(request.headers()) {
        expect::hold_back(&mut request);
    }
    let visitor = if is_upgrade { parts.extensions.remove::<OnUpgrade>() } else { None };
    Ok((request, visitor))
}

/// What a request holds while it is forwarded.
pub(super) trait Account {
    /// Reserves the worst case of a forwarded request. Says no where the budget is used up.
    fn reserve(&mut self) -> bool;

    /// Gives the reserve back, until the request is tried again.
    fn unreserve(&mut self);

    /// The request is handed to the tunnel.
    fn reached_tunnel(&mut self);
}

/// Hold and forward: sends the request through the tunnel of its name. Where there is none, or it turns out
/// to be gone before a byte was written, the request waits for the next one, but not beyond `patience`.
pub(super) async fn forward(
    shared: &Arc<Shared>,
    route: &Route,
    judged: Option<&Arc<Policies>>,
    mut request: Box<Request<RequestBody>>,
    mut hold: Option<Hold>,
    patience: Duration,
    account: &mut impl Account,
) -> Result<Response<TunnelBody>, Refusal> {
    let mut failed: Option<(Tunnel, SendError)> = None;
    loop {
        let present = match &failed {
            None => route.tunnel(),
            Some(_) => None,
        };
        let before = failed.as_ref().map(|(tunnel, _)| tunnel);
        let tunnel = match present {
            Some(tunnel) => Some(tunnel),
            // Boxed, since it is seldom needed.
            None => Box::pin(next_tunnel(shared, route, before, &request, &mut hold, patience)).await,
        };
        let Some(tunnel) = tunnel else {
            return Err(failed.map_or(Refusal::NoTunnel, |(_, why)| Refusal::from_tunnel(why)));
        };
        if !route.has_policies(judged) {
            // A client with other policies has come meanwhile. The next attempt is judged by those.
            return Err(Refusal::NoTunnel);
        }
        if !account.reserve() {
            return Err(Refusal::Overloaded("the byte budget is used up"));
        }
        account.reached_tunnel();
        match send(shared, &tunnel, request).await? {
            Ok(response) => return Ok(response),
            Err(Unsent { why, request: Some(unwritten) }) if why.may_pass() => {
                account.unreserve();
                failed = Some((tunnel, why));
                request = unwritten;
            }
            Err(unsent) => return Err(Refusal::from_tunnel(unsent.why)),
        }
    }
}

/// Waits for another tunnel than the one that `failed`, and now and then gives the same one again; `None`
/// when the time to hold is over, or nothing more can be held.
async fn next_tunnel(
    shared: &Arc<Shared>,
    route: &Route,
    failed: Option<&Tunnel>,
    request: &Request<RequestBody>,
    hold: &mut Option<Hold>,
    patience: Duration,
) -> Option<Tunnel> {
    let hold = match hold {
        Some(hold) => hold,
        None => hold.insert(Hold::begin(shared, request.headers(), request.uri(), patience)?),
    };
    if failed.is_some() {
        let soon = Instant::now() + RETRY;
        if let Ok(other) = timeout_at(hold.deadline.min(soon), route.other_than(failed)).await {
            return Some(other);
        }
        if let Some(same) = route.tunnel() {
            return (Instant::now() < hold.deadline).then_some(same);
        }
    }
    timeout_at(hold.deadline, route.arrived()).await.ok()
}

/// A request that waits for a tunnel: it counts, and what it holds is taken from the budget.
pub(super) struct Hold {
    shared: Arc<Shared>,
    deadline: Instant,
    _lease: Lease,
}

impl Hold {
    /// `None` where too many wait already, or there is no memory for one more.
    fn begin(shared: &Arc<Shared>, headers: &HeaderMap, uri: &Uri, patience: Duration) -> Option<Self> {
        // The body waits in the visitor's connection, whose buffers are accounted for.
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let lease = shared.budget.take(bytes + uri.path().len())?;
        let add = |held: usize| (held < shared.limits.held).then_some(held + 1);
        shared.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        shared.counts.hold();
        let deadline = Instant::now() + patience;
        Some(Self { shared: Arc::clone(shared), deadline, _lease: lease })
    }

    /// The same, but not beyond this moment.
    pub(super) fn until(mut self, deadline: Instant) -> Self {
        self.deadline = self.deadline.min(deadline);
        self
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends through one tunnel and waits for the head of the answer. While an upload makes progress, its
/// answer is not late.
async fn send(
    shared: &Shared,
    tunnel: &Tunnel,
    request: Box<Request<RequestBody>>,
) -> Result<Result<Response<TunnelBody>, Unsent>, Refusal> {
    let limit = shared.limits.response_head;
    let Some(progress) = request.body().progress() else {
        let sent = timeout(limit, tunnel.send(request)).await;
        return sent.map_err(|_| Refusal::UpstreamSlow(String::new()));
    };
    let sending = tunnel.send(request);
    tokio::pin!(sending);
    let mut deadline = Instant::now() + limit;
    let sent = loop {
        if let Ok(sent) = timeout_at(deadline, &mut sending).await {
            break sent;
        }
        let later = progress.last() + limit;
        deadline = if later > deadline {
            later
        } else if progress.waits_for_visitor() {
            // That is the visitor's affair, and bounded there.
            deadline + limit
        } else {
            return Err(Refusal::UpstreamSlow(String::new()));
        };
    };
    progress.set_answered();
    judge_upload(&progress, sent)
}

/// Tells an upload that broke off from a tunnel that did. Whether the tunnel breaks off in turn, or the client
/// is first to say that its request failed, is a matter of chance.
fn judge_upload(
    progress: &Progress,
    sent: Result<Response<TunnelBody>, Unsent>,
) -> Result<Result<Response<TunnelBody>, Unsent>, Refusal> {
    let no_answer = match &sent {
        Ok(response) => response.headers().contains_key(FAILURE),
        Err(unsent) => matches!(unsent.why, SendError::Broken(_)),
    };
    if no_answer && progress.paused_too_long() {
        Err(Refusal::UploadPaused)
    } else if no_answer && progress.broken_off() {
        Err(Refusal::UploadBroken)
    } else {
        Ok(sent)
    }
}

/// Answer: what the client says in the place of an answer becomes a refusal; the rest goes to the visitor.
pub(super) fn finish(
    mut response: Response<TunnelBody>,
    visitor: Option<OnUpgrade>,
) -> Result<Answer, Refusal> {
    if let Some(failure) = response.headers().get(FAILURE) {
        return Err(Refusal::from_client(failure));
    }
    let is_upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = response.headers().get(header::UPGRADE).cloned();
    headers::clean_response(response.headers_mut());
    // An HTTP/1.0 upstream does not make the visitor's connection one.
    *response.version_mut() = Version::HTTP_11;
    if !is_upgraded {
        return Ok(Answer::Whole(response));
    }
    let Some(visitor) = visitor else {
        return Err(Refusal::UpstreamBroken("101 for a request that asked for no upgrade".into()));
    };
    let tunnel = hyper::upgrade::on(&mut response);
    headers::restore_upgrade(response.headers_mut(), protocol);
    Ok(Answer::Upgraded(response, visitor, tunnel))
}
