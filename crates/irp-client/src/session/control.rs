//! The control stream: messages of the edge turned into events and wishes, ours into lines.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use irp_wire::control::{ClientMessage, Decoder, EdgeMessage, GoodbyeReason, encode};
use tokio::sync::mpsc;

use crate::Event;

/// How many lines may wait for the connection. A client says little; more means that nothing goes out.
const LINES_MAX: usize = 64;

/// Sends to the edge, until one of the clones closes the stream.
#[derive(Clone)]
pub(crate) struct ControlSender(Arc<Mutex<Option<mpsc::Sender<Bytes>>>>);

impl ControlSender {
    pub(super) fn channel() -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(LINES_MAX);
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    /// Sends a line, or drops it when the connection takes none.
    pub(crate) fn send(&self, message: &ClientMessage) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = sender.as_ref().is_some_and(|sender| sender.try_send(encode(message)).is_ok());
        if !sent {
            tracing::debug!(?message, "the edge does not take control messages");
        }
    }

    /// Ends our half of the stream.
    pub(super) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
        EdgeMessage::Inbox { waiting, failed, delivered } => {
            Heard::Tell(Event::Inbox { waiting, failed, delivered })
        }
        EdgeMessage::Notice { text } => Heard::Tell(Event::Notice { text }),
        EdgeMessage::OpenLanes { count } => Heard::OpenLanes(count),
        EdgeMessage::Goodbye { reason, text } => Heard::Goodbye { reason, text },
        // Of a later version.
        _ => return None,
    })
}
