//! Serving what the edge sends: one handler for the HTTP/2 connection and for lanes.

pub(crate) mod announce;
pub(crate) mod answer;
mod forward;
mod request;
mod upgrade;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use irp_wire::{CONTROL_AUTHORITY, CONTROL_PATH, headers::Failure, policy::POLICIES, tasks::Tasks};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

pub(crate) use self::forward::Forwarder;
use self::{
    announce::Announce,
    answer::{AnswerBody, Exchange},
};
use crate::{EventSink, session::control::ControlSender, upstream::connect::NoAnswer};

/// Answers the requests of one session.
pub(crate) struct Service {
    pub forwarder: Arc<Forwarder>,
    pub events: EventSink,
    /// Counts requests under way, for a graceful end.
    pub in_flight: TaskTracker,
    /// Owns the two-way copies of upgraded requests.
    pub tasks: Tasks,
    /// Says to the edge which uploads are wanted.
    pub to_edge: ControlSender,
    /// Where the control stream goes; empty once it is open.
    pub control: Mutex<Option<ControlEnds>>,
}

/// The two ends of a control stream that is not open yet.
pub(crate) struct ControlEnds {
    /// Takes the edge's half.
    pub inwards: oneshot::Sender<Incoming>,
    /// Gives our half.
    pub outwards: mpsc::Receiver<Bytes>,
    /// Whether the first message holds policies.
    pub has_policies: bool,
}

impl Service {
    /// Answers a request of the control connection.
    pub(crate) async fn on_control_connection(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Infallible> {
        if request.uri().host() == Some(CONTROL_AUTHORITY) {
            return Ok(self.open_control(request));
        }
        self.answer(request).await
    }

    /// Answers a request of a lane, or a visitor's request of the control connection.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let exchange = Exchange::begin(&request, self.events.clone(), self.in_flight.token());
        let protocol = upgrade::protocol(&request);
        let answered = match protocol {
            Some(protocol) => {
                // Boxed, so that other requests have no room for its state.
                Box::pin(upgrade::forward(&self.forwarder, &self.tasks, request, protocol, exchange)).await
            }
            // To an upstream that is a proxy itself, it would open any address.
            None if request.method() == Method::CONNECT => {
                exchange.fail(&NoAnswer::new(Failure::Broken, "CONNECT is not forwarded"))
            }
            None => {
                let announce = Announce::of(&request, &self.to_edge);
                self.forwarder.forward(request, exchange, announce).await
            }
        };
        Ok(answered)
    }

    fn open_control(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        let ends = self.control.lock().unwrap_or_else(PoisonError::into_inner).take();
        let found = ends.filter(|_| request.uri().path() == CONTROL_PATH);
        let Some(ends) = found else {
            let mut response = Response::new(AnswerBody::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        // The session may have ended meanwhile; the stream ends with it then.
        let _ = ends.inwards.send(request.into_body());
        let mut response = Response::new(AnswerBody::control(ends.outwards));
        if ends.has_policies {
            response.headers_mut().insert(POLICIES, HeaderValue::from_static("1"));
        }
        response
    }
}
