//! The control stream of a session, at the edge.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use irp_wire::{
    CONTROL_AUTHORITY, CONTROL_PATH,
    control::{ClientMessage, Decoder, EdgeMessage},
    policy::POLICIES,
};
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant, MissedTickBehavior},
};

use super::{Session, lanes::FLOOR};
use crate::{
    http::body::RequestBody,
    idle::Countdown,
    inbox::{Counts, counter::Counter},
    notices,
};

/// How long the client may take to answer the control request.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long the client may take to send the policies that it announced.
const POLICIES_WITHIN: Duration = Duration::from_secs(10);

/// How often lanes that nobody uses are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(15);

/// Why the control stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("the client did not answer the control request in time")]
    Timeout,
    #[error("the client refused the control request with {0}")]
    Refused(StatusCode),
    #[error("the connection broke during the control request")]
    Broken(#[from] hyper::Error),
    #[error("the control request is malformed")]
    Request(#[from] http::Error),
    #[error("the client did not send the policies that it announced")]
    Policies,
}

/// A control stream that is open.
pub(super) struct Opened {
    from_client: Incoming,
    decoder: Decoder,
    /// What the client wants the edge to do with requests for its names.
    pub(super) policies: Option<irp_wire::policy::Policies>,
}

/// Opens the control stream; afterwards it is certain that the client serves.
pub(super) async fn open(
    http2: &mut SendRequest<RequestBody>,
    messages: mpsc::Receiver<Bytes>,
) -> Result<Opened, OpenError> {
    let request = Request::post(format!("https://{CONTROL_AUTHORITY}{CONTROL_PATH}"))
        .body(RequestBody::Messages(messages))?;
    let response = time::timeout(ANSWER_WITHIN, http2.send_request(request)).await;
    let response = response.map_err(|_| OpenError::Timeout)??;
    if response.status() != StatusCode::OK {
        return Err(OpenError::Refused(response.status()));
    }
    let announces = response.headers().contains_key(POLICIES);
    let mut opened =
        Opened { from_client: response.into_body(), decoder: Decoder::default(), policies: None };
    if announces {
        let policies = time::timeout(POLICIES_WITHIN, opened.first_message()).await;
        opened.policies = Some(policies.ok().flatten().ok_or(OpenError::Policies)?);
    }
    Ok(opened)
}

impl Opened {
    /// The policies, which are the first message where they were announced.
    async fn first_message(&mut self) -> Option<irp_wire::policy::Policies> {
        loop {
            match self.decoder.message().ok()? {
                Some(ClientMessage::Policies(policies)) => return Some(policies),
                Some(_) => return None,
                None => {}
            }
            let frame = self.from_client.frame().await?.ok()?;
            if let Some(data) = frame.data_ref() {
                self.decoder.push(data);
            }
        }
    }
}

/// Listens to the client until the session is over; tells it about the idle timer, and all notices, meanwhile.
pub(super) async fn listen(
    session: &Session,
    opened: Opened,
    mut idle: watch::Receiver<Countdown>,
    mut notices: notices::Reader,
    mut kept: Option<Counter>,
    leaving: impl Fn(),
) {
    let Opened { mut from_client, mut decoder, .. } = opened;
    let mut tidy = time::interval_at(Instant::now() + TIDY_EVERY, TIDY_EVERY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    {
        let countdown = *idle.borrow_and_update();
        tell_idle(session, countdown);
    };
    ask_for_lanes(session);
    loop {
        tokio::select! {
                () = session.over().cancelled() => return,
                frame = from_client.frame() => {
                    let Some(Ok(frame)) = frame else { return };
                    let Ok(data) = frame.into_data() else { continue };
                    decoder.push(&data);
                    loop {
                        match decoder.message() {
                            Ok(Some(ClientMessage::Leaving)) => leaving(),
                            Ok(Some(ClientMessage::LanesFailed { count })) => session.lanes.failed(count),
                            Ok(Some(ClientMessage::Continue { request })) => session.asking.wanted(request),
                            Ok(Some(_)) => {}
                            Ok(None) => break,
                            Err(error) => {
                                tracing::warn!(session = %session.id(), %error, "ending the session");
                                return;
                            }
                        }
                    }
                }
                changed = idle.changed(), if idle.has_changed().is_ok() => {
                    if changed.is_ok() {
                        {
            let countdown = *idle.borrow_and_update();
            tell_idle(session, countdown);
        };
                    }
                }
                counts = next_counts(&mut kept) => {
                    let Counts { waiting, failed, delivered, .. } = counts;
                    session.tell(&EdgeMessage::Inbox { waiting, failed, delivered });
                }
                text = notices.next() => session.tell(&EdgeMessage::Notice { text }),
                _ = tidy.tick() => session.idle_lanes.expire(Instant::now()),
            }
    }
}

async fn next_counts(kept: &mut Option<Counter>) -> Counts {
    match kept {
        Some(kept) => kept.next().await,
        None => std::future::pending().await,
    }
}

/// A few lanes are opened ahead of the first requests.
fn ask_for_lanes(session: &Session) {
    let floor = u16::try_from(FLOOR).unwrap_or(u16::MAX);
    let count = session.lanes.ask(floor, Instant::now());
    if count > 0 {
        session.tell(&EdgeMessage::OpenLanes { count });
    }
}

fn tell_idle(session: &Session, countdown: Countdown) {
    let ends_after_s = match countdown {
        Countdown::Held(after) | Countdown::Running(after) => Some(after.as_secs()),
        Countdown::Ending => Some(0),
        Countdown::Never => None,
    };
    session.tell(&EdgeMessage::Idle { ends_after_s });
}
