//! Errands: what the owner of a name asks of its edge in passing, without a tunnel and without claiming anything.
//!
//! After the hello of kind `errand`, in which the client has proven a key that may claim the names, both ends speak
//! lines of JSON on the TLS connection itself: one [`Ask`] of the client, then [`Told`]s of the edge up to
//! [`Told::Done`] or [`Told::Failed`], and so on. An edge of an earlier version does not know this kind and closes the
//! connection, so nobody's tunnel is taken over by mistake.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use crate::control::{ControlError, Decoder, encode};

/// How long either end may take for one line.
pub const LINE_WITHIN: Duration = Duration::from_secs(30);

/// How many bytes of a body one line carries at most: with base64 they fit into
/// [`LINE_MAX`](crate::control::LINE_MAX).
pub const PIECE_MAX: usize = 8 * 1024;

/// How many numbers one line may name.
pub const NUMBERS_MAX: usize = 1000;

/// What an edge says that has no inbox.
pub const NOTHING_KEPT: &str = "this edge keeps no events";

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ask {
    /// All events of the names that are kept, the oldest first.
    List,
    /// One event, whole.
    Show {
        /// Its number.
        number: u64,
    },
    /// Let these events be tried again, from the first attempt; without numbers all that were moved aside.
    Deliver {
        /// Their numbers.
        numbers: Vec<u64>,
    },
    /// Forget these events undelivered; without numbers all of them.
    Drop {
        /// Their numbers.
        numbers: Vec<u64>,
    },
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// What the edge says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Told {
    /// An event.
    Event(Kept),
    /// A header of the event.
    Header {
        /// Its name.
        name: String,
        /// Its value; bytes that are no text are replaced.
        value: String,
    },
    /// A piece of the body, in base64.
    Piece {
        /// At most [`PIECE_MAX`] bytes of it.
        base64: String,
    },
    /// That was all.
    Done {
        /// How many events it was about.
        count: u64,
    },
    /// It could not be done.
    Failed {
        /// Why, as a sentence.
        text: String,
    },
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// For which name.
    pub host: String,
    /// The path, without the query.
    pub path: String,
    /// Whose it is.
    pub provider: String,
    /// What the provider calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Bytes.
    pub bytes: u64,
    /// When it came, in milliseconds since 1970.
    pub parked_at_ms: u64,
    /// For how long it has been kept, in seconds, by the edge's clock.
    pub kept_s: u64,
    /// Attempts that failed.
    pub attempts: u32,
    /// Whether it was moved aside.
    pub failed: bool,
}

/// Why a conversation broke off.
#[derive(Debug, thiserror::Error)]
pub enum TalkError {
    /// The connection broke, or nothing came in time.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// What came is no line of ours.
    #[error(transparent)]
    Line(#[from] ControlError),
}

/// Both directions of a conversation.
#[derive(Debug)]
pub struct Talk<S> {
    io: S,
    decoder: Decoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// On a connection whose hello is over.
    pub fn new(io: S) -> Self {
        Self { io, decoder: Decoder::default() }
    }

    /// Says something.
    ///
    /// # Errors
    ///
    /// When the other end does not take it within [`LINE_WITHIN`].
    pub async fn say(&mut self, message: &impl Serialize) -> Result<(), TalkError> {
        let line = encode(message);
        let said = async {
            self.io.write_all(&line).await?;
            self.io.flush().await
        };
        Ok(timeout(LINE_WITHIN, said).await.map_err(io::Error::from)??)
    }

    /// What the other end says next; `None` where it has ended the conversation.
    ///
    /// # Errors
    ///
    /// When nothing comes within [`LINE_WITHIN`], or something else than a line.
    pub async fn hear<M: DeserializeOwned + std::fmt::Debug>(&mut self) -> Result<Option<M>, TalkError> {
        let heard = async {
            let mut bytes = [0; 4096];
            loop {
                if let Some(message) = self.decoder.message()? {
                    return Ok(Some(message));
                }
                let read = match self.io.read(&mut bytes).await {
                    // Many close without a word of TLS.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                    read => read?,
                };
                if read == 0 {
                    return Ok(None);
                }
                self.decoder.push(&bytes[..read]);
            }
        };
        timeout(LINE_WITHIN, heard).await.map_err(|late| TalkError::Io(late.into()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_ends_understand_each_other_and_later_versions() {
        let (one, other) = tokio::io::duplex(8);
        let client = async move {
            let mut talk = Talk::new(one);
            talk.say(&Ask::Drop { numbers: vec![1, 2] }).await.unwrap();
            talk.say(&serde_json::json!({ "type": "dance", "steps": 3 })).await.unwrap();
            let told = talk.hear::<Told>().await.unwrap();
            assert_eq!(told, Some(Told::Done { count: 2 }));
            drop(talk);
        };
        let edge = async move {
            let mut talk = Talk::new(other);
            assert_eq!(talk.hear::<Ask>().await.unwrap(), Some(Ask::Drop { numbers: vec![1, 2] }));
            assert_eq!(talk.hear::<Ask>().await.unwrap(), Some(Ask::Unknown));
            talk.say(&Told::Done { count: 2 }).await.unwrap();
            assert_eq!(talk.hear::<Ask>().await.unwrap(), None);
        };
        tokio::join!(client, edge);
    }

    #[test]
    fn the_largest_lines_fit() {
        let piece = Told::Piece { base64: "A".repeat(PIECE_MAX.div_ceil(3) * 4) };
        assert!(encode(&piece).len() < crate::control::LINE_MAX);
        // A number of an inbox has some digits, not twenty.
        let ask = Ask::Drop { numbers: vec![9_999_999_999; NUMBERS_MAX] };
        assert!(encode(&ask).len() < crate::control::LINE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_silent_peer() {
        let (one, _other) = tokio::io::duplex(8);
        assert!(matches!(Talk::new(one).hear::<Ask>().await, Err(TalkError::Io(_))));
    }
}
