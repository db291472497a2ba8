//! One request to the upstream and its answer back.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use irp_wire::{
    headers::{Failure, remove_hop_by_hop, remove_internal},
    tasks::Tasks,
};
use tokio::time::{Instant, sleep_until};

use super::{
    announce::Announce,
    answer::{AnswerBody, Exchange},
    request::{Speak, for_upstream, is_grpc},
};
use crate::{
    ClientConfig, HostHeader, RootsError,
    upstream::{
        Scheme,
        body::{Gate, Progress, RequestBody},
        connect::{Connector, NoAnswer},
        pool::{Lease, Pool},
    },
};

/// Forwards to one upstream, for all sessions of a run.
pub(crate) struct Forwarder {
    pool: Pool,
    scheme: Scheme,
    own_host: HeaderValue,
    host_header: HostHeader,
    head_timeout: Duration,
}

impl Forwarder {
    pub(crate) fn new(config: &ClientConfig, tasks: Tasks) -> Result<Self, RootsError> {
        let limit = config.timeouts.upstream_connect;
        let connector = Connector::new(config.upstream.clone(), &config.upstream_trust, limit)?;
        Ok(Self {
            pool: Pool::new(connector, tasks),
            scheme: config.upstream.scheme,
            own_host: config.upstream.own_host(),
            host_header: config.host_header.clone(),
            head_timeout: config.timeouts.upstream_head,
        })
    }

    pub(crate) fn connector(&self) -> &Connector {
        self.pool.connector()
    }

    /// Forwards a request and gives the upstream's answer, or one that says why there is none. `announce` is said
    /// when the request's body is wanted.
    pub(crate) async fn forward(
        &self,
        request: Request<Incoming>,
        mut exchange: Box<Exchange>,
        announce: Option<Announce>,
    ) -> Response<AnswerBody> {
        match self.exchange(request, announce).await {
            Ok((response, lease, gate)) => {
                exchange.answered(&response);
                response.map(|body| AnswerBody::upstream(body, lease, gate, exchange))
            }
            Err(why) => exchange.fail(&why),
        }
    }

    async fn exchange(
        &self,
        request: Request<Incoming>,
        announce: Option<Announce>,
    ) -> Result<(Response<Incoming>, Option<Lease>, Option<Arc<Gate>>), NoAnswer> {
        let http2 = self.scheme == Scheme::H2c || is_grpc(&request);
        let speak = if http2 { Speak::Http2 } else { Speak::Http1 };
        let (mut parts, body) = request.into_parts();
        self.translate(&mut parts, speak);
        let (body, progress) = RequestBody::new(body, announce);
        // Boxed, since each of the futures it passes through would have room for it.
        let mut request = Box::new(Request::from_parts(parts, body));

        if http2 {
            let mut sending = Box::pin(self.pool.send_http2(request));
            let sent = self.within_time(sending.as_mut(), progress.as_deref()).await?;
            return Ok((cleaned(sent), None, None));
        }
        let gate = progress.is_some().then(|| wait_for_continue(&mut request)).flatten();
        let mut guard = GiveUp(gate.clone());
        let sending = pin!(self.pool.send(request));
        let (response, lease) = self.within_time(sending, progress.as_deref()).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self
                .connector()
                .no_answer(Failure::Broken, "switches protocols without being asked"));
        }
        guard.0 = None;
        Ok((cleaned(response), Some(lease), gate))
    }

    /// Forwards the request of an upgrade; such a request has no body.
    pub(super) async fn upgrade(
        &self,
        request: Request<()>,
    ) -> Result<(Response<Incoming>, Lease), NoAnswer> {
        let request = Box::new(request.map(|()| RequestBody::default()));
        let sending = pin!(self.pool.send(request));
        self.within_time(sending, None).await
    }

    /// Turns the head of a request into the upstream's.
    pub(super) fn translate(&self, parts: &mut http::request::Parts, speak: Speak) {
        let secure = self.scheme == Scheme::Https;
        for_upstream(parts, speak, &self.host_header, &self.own_host, secure);
    }

    /// Bounds the wait for an answer's head, counted from the last time that the request's body moved: an
    /// upload may take hours.
    async fn within_time<T>(
        &self,
        mut sending: Pin<&mut impl Future<Output = Result<T, NoAnswer>>>,
        progress: Option<&Progress>,
    ) -> Result<T, NoAnswer> {
        let mut deadline = Instant::now() + self.head_timeout;
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return sent,
                () = sleep_until(deadline) => {}
            }
            let extended = progress.map_or(deadline, |progress| progress.moved() + self.head_timeout);
            if extended <= deadline {
                let seconds = self.head_timeout.as_secs_f32();
                let why = format_args!("does not answer within {seconds} s");
                return Err(self.connector().no_answer(Failure::TimedOut, why));
            }
            deadline = extended;
        }
    }
}

/// Makes a body that the visitor announced with `Expect: 100-continue` wait for the upstream's word.
///
/// An upstream that refuses from the headers alone, with 417 or 413, never gets the body, and the visitor keeps it:
/// the edge says `100` to the visitor once this end begins to read.
fn wait_for_continue(request: &mut Request<RequestBody>) -> Option<Arc<Gate>> {
    let expect = request.headers().get(header::EXPECT)?;
    if !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") {
        return None;
    }
    let gate = Arc::new(Gate::default());
    request.body_mut().wait_at(gate.clone());
    let opener = gate.clone();
    hyper::ext::on_informational(request, move |answer| {
        if answer.status() == StatusCode::CONTINUE {
            opener.open();
        }
    });
    Some(gate)
}

/// Frees a body that waits when its request fails or is cancelled.
struct GiveUp(Option<Arc<Gate>>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.give_up();
        }
    }
}

/// Takes what must not pass outwards from an upstream's answer.
fn cleaned(mut response: Response<Incoming>) -> Response<Incoming> {
    remove_hop_by_hop(response.headers_mut());
    remove_internal(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    response
}
