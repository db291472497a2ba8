//! The answer on its way to the edge, and what is noted about the exchange.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::{Buf as _, Bytes};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use irp_wire::{
    headers::{FAILURE, Failure, remove_internal},
    policy::{WEBHOOK, Webhook},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    EventSink, Finished, clock,
    upstream::{body::Gate, connect::NoAnswer, pool::Lease},
};

/// The body of an answer. Dropped before its end, it closes the upstream's connection.
pub(crate) struct AnswerBody {
    source: Source,
    ended: bool,
    /// Given back at the end; only HTTP/1.1 has one.
    lease: Option<Lease>,
    gate: Option<Arc<Gate>>,
    exchange: Option<Box<Exchange>>,
}

enum Source {
    Empty,
    Control(mpsc::Receiver<Bytes>),
    Upstream(Incoming),
}

impl AnswerBody {
    pub(crate) fn empty() -> Self {
        Self::new(Source::Empty)
    }

    pub(crate) fn control(outwards: mpsc::Receiver<Bytes>) -> Self {
        Self::new(Source::Control(outwards))
    }

    pub(crate) fn upstream(
        body: Incoming,
        lease: Option<Lease>,
        gate: Option<Arc<Gate>>,
        exchange: Box<Exchange>,
    ) -> Self {
        Self { source: Source::Upstream(body), ended: false, lease, gate, exchange: Some(exchange) }
    }

    fn new(source: Source) -> Self {
        Self { source, ended: false, lease: None, gate: None, exchange: None }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let body = match &mut this.source {
            Source::Empty => return Poll::Ready(None),
            Source::Control(lines) => {
                return lines.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))));
            }
            Source::Upstream(body) => body,
        };
        let mut frame = ready!(Pin::new(body).poll_frame(cx));
        match &mut frame {
            None => this.ended = true,
            Some(Ok(frame)) => {
                if let (Some(data), Some(exchange)) = (frame.data_ref(), &mut this.exchange) {
                    exchange.bytes += data.remaining() as u64;
                }
                if let Some(trailers) = frame.trailers_mut() {
                    remove_internal(trailers);
                }
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Control(_) => false,
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Control(_) => SizeHint::default(),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        let whole = self.ended || self.is_end_stream();
        if let Some(gate) = &self.gate {
            gate.give_up();
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.whole |= whole;
        }
        if let Some(lease) = self.lease.take().filter(|_| whole) {
            lease.keep();
        }
    }
}

/// One exchange. When it is dropped, it is over and told. Boxed, since it goes along with request, answer and body.
pub(crate) struct Exchange {
    events: EventSink,
    in_flight: Option<TaskTrackerToken>,
    at: SystemTime,
    begun: Instant,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    status: Option<StatusCode>,
    took: Option<Duration>,
    failed: bool,
    bytes: u64,
    whole: bool,
    upgrade: bool,
    /// What the edge says about a webhook; read only where somebody is told.
    webhook: Option<HeaderValue>,
}

impl Exchange {
    pub(crate) fn begin<B>(
        request: &Request<B>,
        events: EventSink,
        in_flight: TaskTrackerToken,
    ) -> Box<Self> {
        let host = match request.uri().host() {
            Some(_) => None,
            None => request.headers().get(header::HOST).cloned(),
        };
        Box::new(Self {
            events,
            in_flight: Some(in_flight),
            at: clock::now(),
            begun: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            host,
            status: None,
            took: None,
            failed: false,
            bytes: 0,
            whole: false,
            upgrade: false,
            webhook: request.headers().get(WEBHOOK).cloned(),
        })
    }

    /// Notes the head of an answer.
    pub(crate) fn answered<B>(&mut self, response: &Response<B>) {
        self.status = Some(response.status());
        self.took = Some(self.begun.elapsed());
        let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
        if kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
            self.is_endless();
        }
    }

    /// Notes that it became another protocol.
    pub(crate) fn upgraded(&mut self) {
        self.upgrade = true;
        self.method = Method::GET;
        self.is_endless();
    }

    /// Adds bytes that went to the visitor outside of the answer's body.
    pub(crate) fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.whole = true;
    }

    /// An exchange that ends only when one side has enough of it is not waited for at a graceful end.
    fn is_endless(&mut self) {
        self.in_flight = None;
    }

    /// The answer in place of the upstream's. The edge renders the page.
    pub(crate) fn fail(mut self: Box<Self>, why: &NoAnswer) -> Response<AnswerBody> {
        let mut response = Response::new(AnswerBody::empty());
        *response.status_mut() = match why.failure {
            Failure::Refused | Failure::Broken => StatusCode::BAD_GATEWAY,
            Failure::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Failure::Loop => StatusCode::LOOP_DETECTED,
        };
        response.headers_mut().insert(FAILURE, why.failure.to_header(&why.detail));
        self.answered(&response);
        self.failed = true;
        response.body_mut().exchange = Some(self);
        response
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.events.tell_exchange(|| {
            let host = self.uri.host().or_else(|| self.host.as_ref()?.to_str().ok());
            Finished {
                at: self.at,
                method: self.method.clone(),
                host: host.unwrap_or_default().to_owned(),
                path: self.uri.path().to_owned(),
                status: self.status,
                failed: self.failed,
                took: self.took.unwrap_or_else(|| self.begun.elapsed()),
                bytes: self.bytes,
                whole: self.whole,
                upgrade: self.upgrade,
                webhook: self.webhook.as_ref().and_then(Webhook::from_header),
            }
        });
    }
}
