//! One session: the control connection with the roles turned, its control stream, its lanes.
//!
//! A session lives until its connection breaks, the edge says goodbye, or this side retires it. After a
//! goodbye or a retirement it *lingers*: requests under way finish, for as long as the deadline allows, and
//! only then the connection ends with GOAWAY. All lanes end with their session.

pub(crate) mod control;
mod lanes;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use irp_wire::{
    control::{ClientMessage, GoodbyeReason},
    hello::Credentials,
    policy::Policies,
    tasks::Tasks,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    control::{ControlSender, Heard},
    lanes::Lanes,
};
use crate::{
    Event, EventSink,
    dial::{Dialer, link::Link},
    serve::{ControlEnds, Forwarder, Service},
};

/// Nearly all that HTTP/2 allows: with less, three stalled uploads can freeze the tunnel.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Requests at a time on HTTP/2. The edge counts and refuses; here slow ones must never block the rest.
const STREAMS_MAX: u32 = 5000;

/// What one answer may have waiting for the connection, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// The longest list of headers, in bytes. The edge has its own limit for visitors; this one is above it.
const HEADERS_MAX: u32 = 256 * 1024;

/// How many streams may be reset before the connection counts as attacked. The edge is proven; hyper's 20
/// ended a tunnel when a load generator left with 32 requests under way.
const RESETS_MAX: usize = 100_000;

/// With the two, a dead edge is noticed within 13 s.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(8);

/// How long after the welcome the edge may take to open the control stream.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that the edge sent before it heard that we leave may still arrive for so long.
const SETTLE: Duration = Duration::from_millis(300);

/// How long the last frames may take to go out.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a session serves no more.
#[derive(Debug)]
pub(crate) enum End {
    /// The connection is gone.
    Broken(String),
    /// The edge said goodbye.
    Goodbye { reason: GoodbyeReason, text: String },
    /// This side retired it.
    Retired,
}

/// What a session is made of.
pub(crate) struct Parts {
    pub io: TlsStream<Link>,
    pub peer: Option<SocketAddr>,
    pub credentials: Credentials,
    pub dialer: Arc<Dialer>,
    pub forwarder: Arc<Forwarder>,
    pub events: EventSink,
    pub lanes_max: u16,
    pub stream_window: u32,
    pub drain: Duration,
    pub policies: Option<Arc<Policies>>,
}

/// A running session; dropped, it retires.
pub(crate) struct Session {
    end: oneshot::Receiver<End>,
    retire: CancellationToken,
    in_flight: TaskTracker,
    pub since: Instant,
    pub peer: Option<SocketAddr>,
}

impl Session {
    /// Starts to serve, as a task of `tasks`.
    pub(crate) fn start(parts: Parts, tasks: &Tasks) -> Self {
        let (tell_end, end) = oneshot::channel();
        let retire = CancellationToken::new();
        let in_flight = TaskTracker::new();
        in_flight.close();
        let peer = parts.peer;
        tasks.spawn(Box::pin(serve(parts, tell_end, retire.clone(), in_flight.clone())));
        Self { end, retire, in_flight, since: Instant::now(), peer }
    }

    /// Waits until it serves no more. It may still be finishing requests then.
    pub(crate) async fn ended(&mut self) -> End {
        let end = (&mut self.end).await;
        end.unwrap_or_else(|_| End::Broken("it ended without a word".into()))
    }

    /// How many requests are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.retire.cancel();
    }
}

async fn serve(
    parts: Parts,
    tell_end: oneshot::Sender<End>,
    retire: CancellationToken,
    in_flight: TaskTracker,
) {
    let tasks = Tasks::new();
    let _end_all = tasks.end_on_drop();
    let (to_edge, outwards) = ControlSender::channel();
    let has_policies = parts.policies.is_some();
    if let Some(policies) = parts.policies {
        // Before anything else: the names go live with them.
        to_edge.send(&ClientMessage::Policies(Policies::clone(&policies)));
    }
    let (inwards, control) = oneshot::channel();
    let service = Arc::new(Service {
        forwarder: parts.forwarder,
        events: parts.events.clone(),
        in_flight: in_flight.clone(),
        tasks: tasks.clone(),
        to_edge: to_edge.clone(),
        control: Mutex::new(Some(ControlEnds { inwards, outwards, has_policies })),
    });
    let lanes = Lanes::new(
        lanes::Session {
            dialer: parts.dialer,
            peer: parts.peer,
            credentials: parts.credentials,
            service: service.clone(),
            to_edge: to_edge.clone(),
        },
        parts.lanes_max,
        tasks.clone(),
    );

    let builder = connection_builder(&tasks, parts.stream_window);
    let handler = service_fn(move |request| service.clone().on_control_connection(request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(parts.io), handler));
    let end = {
        let mut listening = pin!(listen(control, &lanes, &parts.events));
        tokio::select! {
            end = &mut connection => End::Broken(describe(end)),
            end = &mut listening => end,
            () = retire.cancelled() => End::Retired,
        }
    };
    let broken = matches!(end, End::Broken(_));
    let settle = if matches!(end, End::Retired) {
        to_edge.send(&ClientMessage::Leaving);
        SETTLE
    } else {
        Duration::ZERO
    };
    // Nobody may be listening any more, when the whole run is being ended.
    let _ = tell_end.send(end);
    if !broken {
        let deadline = Instant::now() + parts.drain;
        let idle = async {
            sleep(settle).await;
            in_flight.wait().await;
        };
        tokio::select! {
            _ = &mut connection => {}
            () = idle => {}
            () = sleep_until(deadline) => {}
        }
        // The control stream is a request under way too; it must end before GOAWAY can complete.
        to_edge.close();
        lanes.close();
        connection.as_mut().graceful_shutdown();
        let _ = timeout(CLOSE_TIMEOUT, connection).await;
    }
    tasks.shutdown(Duration::ZERO).await;
}

fn connection_builder(tasks: &Tasks, stream_window: u32) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks.clone());
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(stream_window)
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADERS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        // The upstream's Date, or none, is the visitor's.
        .auto_date_header(false)
        .enable_connect_protocol();
    builder
}

/// Follows the control stream until it is over.
async fn listen(control: oneshot::Receiver<Incoming>, lanes: &Lanes, events: &EventSink) -> End {
    let body = match timeout(CONTROL_TIMEOUT, control).await {
        Ok(Ok(body)) => body,
        _ => return End::Broken("the edge did not open the control stream".into()),
    };
    let mut messages = control::Messages::new(body);
    loop {
        match messages.next().await {
            Heard::Tell(event) => events.tell(event),
            Heard::OpenLanes(count) => lanes.open(count),
            Heard::Goodbye { reason, text } => return End::Goodbye { reason, text },
            Heard::Over(why) => return End::Broken(why),
        }
    }
}

fn describe(ended: Result<(), hyper::Error>) -> String {
    match ended {
        Ok(()) => "the edge closed the connection".into(),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        }
    }
}

/// Tells that the client leaves.
pub(crate) fn tell_leaving(session: &Session, events: &EventSink) {
    events.tell(Event::Leaving { in_flight: session.in_flight() });
}
