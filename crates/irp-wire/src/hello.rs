//! The hello: both ends of a fresh tunnel connection prove themselves before the roles turn.
//!
//! ```text
//! control connection                     lane
//!   client → edge   Open                   client → edge   Open with a MAC
//!   edge → client   EdgeProof              edge → client   Verdict with a MAC
//!   client → edge   ClientProof
//!   edge → client   Verdict
//! ```
//!
//! A look goes like a control connection, but its verdict is a [`Report`](crate::report::Report), and then it is over: it
//! claims nothing and counts as nobody, so that a question does not keep a machine alive.
//!
//! Each message is a frame: `irp1`, the length in two bytes, then JSON of that length. Frames are read with
//! exact lengths, since the very next byte may belong to HTTP/2. The edge proves itself first: the client
//! checks the identity against the one that it knows before it says who it is. A lane is proved by the
//! secret that the control connection yielded, in a MAC over the lane's own keying material.
//!
//! An errand (see [`errand`](crate::errand)) begins like a control connection, and claims nothing.
//!
//! Neither side trusts a frame: at most [`FRAME_MAX`] bytes, and the caller bounds the time with
//! [`HELLO_TIMEOUT`]. Unknown fields are ignored, so later versions can add some.

mod client;
mod edge;
mod frame;
mod message;

use std::{io, time::Duration};

pub use self::{
    client::{Credentials, Welcome, ask, open_control, open_errand, open_lane},
    edge::{Applicant, LaneApplicant, Opened, receive, refuse},
    frame::{FRAME_MAX, parse as parse_frame},
    message::{Open, SessionId, SessionSecret, Terms},
};
use crate::{key::SignError, name::Hostname};

/// The version of the tunnel that this program speaks.
pub const VERSION: u16 = 1;

/// How long a hello may take, from the end of the TLS handshake.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// How many names one tunnel may claim.
pub const NAMES_MAX: usize = 16;

/// The client takes WebSocket and other upgrades as extended CONNECT (RFC 8441).
pub const CAPABILITY_UPGRADE: &str = "upgrade";

/// The client can open lanes.
pub const CAPABILITY_LANES: &str = "lanes";

/// Why a hello failed.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The connection broke in the middle.
    #[error("the connection ended during the hello")]
    Io(#[from] io::Error),
    /// A frame is not ours, is too long, or does not parse.
    #[error("the other end does not speak irp's protocol: {0}")]
    Frame(String),
    /// The other end speaks only another version.
    #[error("the other end speaks version {theirs} of the tunnel, this one version {VERSION}")]
    Version {
        /// What the other end said.
        theirs: u16,
    },
    /// The other end's proof does not hold for this TLS session.
    #[error("the proof of the other end does not belong to this connection")]
    Proof,
    /// The caller does not accept the edge's identity; the text says why.
    #[error("{0}")]
    Identity(String),
    /// The signer did not sign.
    #[error("the key could not be used")]
    Sign(#[from] SignError),
    /// The edge refused, with its reason.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The edge's refusal, as it reaches the person at the client.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind, for programs.
    pub code: RefusalCode,
    /// A sentence for the person.
    pub message: String,
}

/// Why an edge refuses a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// No `[[key]]` of the edge has this key.
    UnknownKey,
    /// The key may not claim a name it asks for.
    NameNotAllowed,
    /// Another key holds the name now.
    NameTaken,
    /// The edge does not know the session of a lane (any more).
    UnknownSession,
    /// The edge has no room, or is going away: try again later.
    Busy,
    /// A code of a later version.
    #[serde(other)]
    Other,
}

impl Refusal {
    /// A refusal with its sentence.
    #[must_use]
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Whether trying again later can help without anybody changing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self.code, RefusalCode::Busy | RefusalCode::NameTaken | RefusalCode::UnknownSession)
    }
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The names to claim, at most [`NAMES_MAX`].
    pub names: Vec<Hostname>,
    /// A random number of this client process: a new connection with the same number replaces the old one
    /// silently, one with another number takes over.
    pub instance: u64,
    /// How many lanes the client is ready to hold open; 0 is HTTP/2 only.
    pub lanes_max: u16,
    /// The program and its version, for the edge's log.
    pub agent: String,
}

#[cfg(test)]
mod tests;
