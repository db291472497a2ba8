//! One request and its answer: what is held as long as they last, and what is told about them afterwards.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode, Uri};
use irp_wire::name::Hostname;
use tokio::time::Instant;

use super::{
    budget::{self, Lease},
    connection::{Connection, Gauge, current_stream},
    parking::Reserve,
    pipeline::Account,
    route::Place,
    service::Shared,
};
use crate::idle::RequestGuard;

/// What happened to one request; told when the last byte of its answer was handed on, or it broke off.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The name it was for, where that is served here.
    pub host: Option<Hostname>,
    /// Its method.
    pub method: Method,
    /// Its target as it came; of interest are path and query.
    pub target: Uri,
    /// The status of the answer; `None` where the visitor left before there was one.
    pub status: Option<StatusCode>,
    /// From the end of its headers to the end of its answer.
    pub duration: Duration,
    /// Bytes of the answer's body that were handed on.
    pub bytes: u64,
    /// Why it was refused, where it was.
    pub reason: Option<String>,
    /// Whether the edge answered by itself, so that nothing reached the tunnel.
    pub stopped_at_edge: bool,
    /// Whether the answer was handed on to its end.
    pub complete: bool,
}

/// Hears of every exchange. Called on the request path: it must not wait.
pub trait ExchangeSink: Send + Sync + 'static {
    /// An exchange has ended.
    fn ended(&self, exchange: &Exchange);
}

/// An exchange under way: it counts as in flight, and holds its share of the budget, until this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    _counted: RequestGuard,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    stream: Option<Arc<Gauge>>,
    watched: bool,
    place: Option<Place>,
    lease: Option<Lease>,
    bytes: u64,
    complete: bool,
    endless: bool,
    status: Option<StatusCode>,
    record: Option<Record>,
}

#[derive(Debug)]
struct Record {
    method: Method,
    target: Uri,
    started: Instant,
    reason: Option<String>,
    stopped_at_edge: bool,
}

impl Running {
    /// Begins to count a request of `connection`; nothing is kept for telling where nobody listens.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        connection: &Arc<Connection>,
        method: &Method,
        target: &Uri,
    ) -> Self {
        connection.exchange_began();
        let record = shared.sink.is_some().then(|| Record {
            method: method.clone(),
            target: target.clone(),
            started: Instant::now(),
            reason: None,
            stopped_at_edge: true,
        });
        Self {
            _counted: shared.activity.request(),
            shared: Arc::clone(shared),
            connection: Arc::clone(connection),
            stream: current_stream(),
            watched: false,
            place: None,
            lease: None,
            bytes: 0,
            complete: false,
            endless: false,
            status: None,
            record,
        }
    }

    /// Holds the place among the requests of its name.
    pub(super) fn hold_place(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Holds what an attempt has reserved that was nobody's own.
    pub(super) fn take_over(&mut self, reserve: &mut Reserve) {
        self.lease = reserve.lease.take();
        self.reached_tunnel();
    }

    /// What was handed to the tunnel came to nothing, and the edge answers after all.
    pub(super) fn stayed_at_edge(&mut self) {
        if let Some(record) = &mut self.record {
            record.stopped_at_edge = true;
        }
    }

    /// The head of the answer is known.
    pub(super) fn answered(&mut self, status: StatusCode, reason: Option<&dyn std::fmt::Display>) {
        self.status = Some(status);
        if let Some(record) = &mut self.record {
            record.reason = reason.map(ToString::to_string);
        }
    }

    /// The answer has no end of its own: who stops does not wait for it.
    pub(super) fn is_endless(&mut self) {
        self.endless = true;
        self.connection.endless_began();
    }

    /// The answer was handed on to its end.
    pub(super) fn complete(&mut self) {
        self.complete = true;
        self.visitor_is_ready();
    }

    /// A frame of `bytes` was handed to the visitor's connection.
    pub(super) fn frame_waits_for_visitor(&mut self, bytes: usize) {
        self.bytes += u64::try_from(bytes).unwrap_or(0);
        match &self.stream {
            None => self.connection.gauge().wait(self.connection.now()),
            Some(gauge) => {
                gauge.wait(self.connection.now());
                // A small answer cannot stall: hyper takes it whole.
                if !self.watched && self.bytes >= budget::WRITE_BUFFER as u64 {
                    self.watched = true;
                    self.connection.watch(gauge);
                }
            }
        }
    }

    /// The visitor's connection asks for more.
    pub(super) fn visitor_is_ready(&mut self) {
        self.stream.as_deref().unwrap_or(self.connection.gauge()).ready();
    }
}

impl Account for Running {
    fn reserve(&mut self) -> bool {
        self.lease = self.shared.budget.take(self.shared.limits.exchange_bytes());
        self.lease.is_some()
    }

    fn unreserve(&mut self) {
        self.lease = None;
    }

    fn reached_tunnel(&mut self) {
        if let Some(record) = &mut self.record {
            record.stopped_at_edge = false;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.visitor_is_ready();
        if let Some(gauge) = self.stream.take().filter(|_| self.watched) {
            self.connection.unwatch(&gauge);
        }
        if self.endless {
            self.connection.endless_ended();
        }
        self.connection.exchange_ended();
        self.shared.counts.request(self.status);
        if let (Some(record), Some(sink)) = (self.record.take(), &self.shared.sink) {
            sink.ended(&Exchange {
                host: self.place.as_ref().map(|place| place.route().host().clone()),
                method: record.method,
                target: record.target,
                status: self.status,
                duration: record.started.elapsed(),
                bytes: self.bytes,
                reason: record.reason,
                stopped_at_edge: record.stopped_at_edge,
                complete: self.complete,
            });
        }
    }
}
