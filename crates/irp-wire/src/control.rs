//! Control messages: what edge and client tell each other while a session lives.
//!
//! They travel on one long-lived request of the tunnel, one JSON object a line, at most [`LINE_MAX`] bytes.
//! A message of a type that this version does not know is skipped, so either end may be the newer one.

use std::fmt::Debug;

use bytes::{Buf as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::policy::Policies;

/// The longest line, in bytes with its line feed.
pub const LINE_MAX: usize = 16 * 1024;

/// What the edge tells the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EdgeMessage {
    /// The edge answered a visitor by itself, so the client never saw the request.
    Answered {
        /// The name that the visitor asked for.
        host: String,
        /// The request's method.
        method: String,
        /// The path, cut after some hundred characters, without the query.
        path: String,
        /// The status of the edge's answer.
        status: u16,
        /// How long the request was with the edge, in milliseconds.
        ms: u64,
        /// Why, in a few words.
        reason: String,
    },
    /// So many `Answered` lines were left out to spare the connection.
    Skipped {
        /// How many.
        count: u64,
    },
    /// The idle timer: when the machine would end if this session ended now.
    Idle {
        /// Seconds; `None` is never.
        ends_after_s: Option<u64>,
    },
    /// Please open so many lanes.
    OpenLanes {
        /// How many more.
        count: u16,
    },
    /// The events of the session's names that the edge keeps; told when that changes.
    Inbox {
        /// Events that wait to be delivered.
        waiting: u64,
        /// Events that were moved aside.
        failed: u64,
        /// Events that were delivered since the edge began.
        delivered: u64,
    },
    /// Something for the person to know.
    Notice {
        /// A sentence.
        text: String,
    },
    /// The session is over.
    Goodbye {
        /// Why, for programs.
        reason: GoodbyeReason,
        /// Why, as a sentence.
        text: String,
    },
    /// A message of a later version.
    #[serde(other)]
    Unknown,
}

/// Why an edge ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GoodbyeReason {
    /// The same key connected elsewhere and has the names now. The client must not come back by itself.
    TakenOver,
    /// The key was taken out of the edge's list. The client must not come back by itself.
    Revoked,
    /// The edge's program ends or restarts; the client comes back.
    Restart,
    /// The machine ends: the client must not come back by itself.
    MachineEnds,
    /// A reason of a later version.
    #[serde(other)]
    Other,
}

/// What the client tells the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientMessage {
    /// What the edge is to do with requests for the session's names; the first message, where it was announced.
    Policies(Policies),
    /// The client is leaving: send it nothing new; what is under way is finished.
    Leaving,
    /// The client could not open so many of the lanes asked for.
    LanesFailed {
        /// How many.
        count: u16,
    },
    /// The upload of a request on the control connection is wanted: what `100 Continue` says on a lane.
    Continue {
        /// The number that the request bore in [`CONTINUE`](crate::headers::CONTINUE).
        request: u64,
    },
    /// A message of a later version.
    #[serde(other)]
    Unknown,
}

/// Writes a message as its line.
#[must_use]
pub fn encode(message: &impl Serialize) -> Bytes {
    // These types always serialise; an empty line is skipped by the reader.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// The other end sent a line that is too long or that is no JSON object with a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control stream is damaged: {0}")]
pub struct ControlError(String);

/// Turns the bytes of a control stream back into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: BytesMut,
    /// How many of the pending bytes are known to hold no line feed. Without it a peer that sends one byte at a
    /// time would have each of them looked at again and again.
    searched: usize,
}

impl Decoder {
    /// Takes bytes as they came; then call [`Self::message`] until it gives `None`.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    ///
    /// When a line is longer than [`LINE_MAX`] or does not parse; the stream is of no use afterwards.
    pub fn message<M: DeserializeOwned + Debug>(&mut self) -> Result<Option<M>, ControlError> {
        loop {
            let found = self.pending[self.searched..].iter().position(|byte| *byte == b'\n');
            let Some(end) = found.map(|at| self.searched + at) else {
                if self.pending.len() >= LINE_MAX {
                    return Err(ControlError("a line is too long".into()));
                }
                self.searched = self.pending.len();
                return Ok(None);
            };
            self.searched = 0;
            if end >= LINE_MAX {
                return Err(ControlError("a line is too long".into()));
            }
            let line = self.pending.split_to(end);
            self.pending.advance(1);
            if !line.is_empty() {
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| ControlError(error.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_survive_any_cut() {
        let messages = [
            EdgeMessage::Idle { ends_after_s: None },
            EdgeMessage::OpenLanes { count: 4 },
            EdgeMessage::Goodbye { reason: GoodbyeReason::TakenOver, text: "moved\nelsewhere".into() },
        ];
        let bytes: Vec<u8> = messages.iter().flat_map(encode).collect();
        for cut in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in bytes.chunks(cut) {
                decoder.push(part);
                while let Some(message) = decoder.message::<EdgeMessage>().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, messages);
        }
    }

    #[test]
    fn later_versions_may_say_more() {
        let mut decoder = Decoder::default();
        decoder.push(b"{\"type\":\"dance\",\"steps\":3}\n\n{\"type\":\"leaving\",\"extra\":1}\n");
        assert_eq!(decoder.message::<ClientMessage>(), Ok(Some(ClientMessage::Unknown)));
        assert_eq!(decoder.message::<ClientMessage>(), Ok(Some(ClientMessage::Leaving)));
        assert_eq!(decoder.message::<ClientMessage>(), Ok(None));
    }

    #[test]
    fn an_endless_line_is_an_error() {
        let mut decoder = Decoder::default();
        decoder.push(&[b'x'; LINE_MAX]);
        assert!(decoder.message::<ClientMessage>().is_err());
    }

    #[test]
    fn a_line_that_comes_byte_by_byte_is_looked_at_once() {
        let mut decoder = Decoder::default();
        for count in 1..LINE_MAX {
            decoder.push(b" ");
            assert_eq!(decoder.message::<ClientMessage>(), Ok(None));
            assert_eq!(decoder.searched, count);
        }
        decoder = Decoder::default();
        decoder.push(b"  {\"type\":");
        assert_eq!(decoder.message::<ClientMessage>(), Ok(None));
        decoder.push(b"\"leaving\"}\n{\"type\":\"leaving\"}\n");
        assert_eq!(decoder.message::<ClientMessage>(), Ok(Some(ClientMessage::Leaving)));
        assert_eq!(decoder.message::<ClientMessage>(), Ok(Some(ClientMessage::Leaving)));
        assert_eq!(decoder.message::<ClientMessage>(), Ok(None));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.message::<EdgeMessage>() {}
        }
    }
}
