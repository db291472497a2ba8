//! The control stream: messages of the edge turned into events and wishes, ours into lines.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use irp_wire::control::{ClientMessage, Decoder, EdgeMessage, GoodbyeReason, encode};
use tokio::sync::mpsc;

use crate::Event;

/// How many lines may wait for the connection. A client says little; more means that nothing goes out.
const LINES_MAX: usize = 64;

/// Sends to the edge; the stream ends when the last clone is dropped.
#[derive(Clone)]
pub(super) struct ControlSender(mpsc::Sender<Bytes>);

impl ControlSender {
    pub(super) fn channel() -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(LINES_MAX);
        (Self(sender), receiver)
    }

    /// Sends a line, or drops it when the connection takes none.
    pub(super) fn send(&self, message: &ClientMessage) {
        if self.0.try_send(encode(message)).is_err() {
            tracing::debug!(?message, "the edge does not take control messages");
        }
    }
}

/// What was heard from the edge.
pub(super) enum Heard {
    Tell(Event),
    OpenLanes(u16),
    Goodbye { reason: GoodbyeReason, text: String },
    Over(String),
}

/// The edge's messages.
pub(super) struct Messages {
    body: Incoming,
    decoder: Decoder,
}

impl Messages {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, decoder: Decoder::default() }
    }

    /// The next thing heard. Not to be called again after [`Heard::Over`].
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            match self.decoder.message::<EdgeMessage>() {
                Ok(Some(message)) => match heard(message) {
                    Some(heard) => return heard,
                    None => continue,
                },
                Ok(None) => {}
                Err(error) => return Heard::Over(error.to_string()),
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.decoder.push(bytes);
                    }
                }
                Some(Err(error)) => return Heard::Over(format!("the control stream broke: {error}")),
                None => return Heard::Over("the edge ended the control stream".into()),
            }
        }
    }
}

fn heard(message: EdgeMessage) -> Option<Heard> {
    Some(match message {
        EdgeMessage::Answered { host, method, path, status, ms, reason } => {
            let took = Duration::from_millis(ms);
            Heard::Tell(Event::AnsweredAtEdge { host, method, path, status, took, reason })
        }
        EdgeMessage::Skipped { count } => Heard::Tell(Event::Skipped { count }),
        EdgeMessage::Idle { ends_after_s } => {
            Heard::Tell(Event::IdleEnds { after: ends_after_s.map(Duration::from_secs) })
        }
        EdgeMessage::Notice { text } => Heard::Tell(Event::Notice { text }),
        EdgeMessage::OpenLanes { count } => Heard::OpenLanes(count),
        EdgeMessage::Goodbye { reason, text } => Heard::Goodbye { reason, text },
        // Of a later version.
        _ => return None,
    })
}
