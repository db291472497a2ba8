//! The messages of the hello, and the secrets that travel in them.

use std::fmt;

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

use super::Refusal;
use crate::{
    key::PublicKey,
    name::Hostname,
    proof::{ChannelBinding, Role},
    report::Report,
};

/// The first message of a client.
#[derive(Debug, Serialize, Deserialize)]
pub struct Open {
    /// The version that the client speaks.
    pub version: u16,
    /// What the connection is to be.
    #[serde(flatten)]
    pub kind: Kind,
    /// What the client can do.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// What a connection is to be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// The first connection of a session.
    Control,
    /// One more connection of a session.
    Lane {
        /// The session.
        session: SessionId,
        /// The client's MAC over this lane's keying material.
        mac: Bytes,
    },
    /// Nothing of a session: see [`errand`](crate::errand). An edge of an earlier version does not know this kind.
    Errand,
    /// A client that wants to know how the edge is, and nothing else: it claims nothing, and is no session.
    Look,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EdgeProof {
    pub version: u16,
    pub identity: PublicKey,
    pub signature: Bytes,
    #[serde(default)]
    pub capabilities: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ClientProof {
    pub key: PublicKey,
    pub names: Vec<Hostname>,
    pub instance: u64,
    pub lanes_max: u16,
    #[serde(default)]
    pub agent: String,
    pub signature: Bytes,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(super) enum Verdict {
    Welcome { session: SessionId, secret: SessionSecret, terms: Terms },
    Lane { mac: Bytes },
    Report { report: Report },
    Refused { refusal: Refusal },
}

/// What the edge grants with its welcome, and tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The public URL of each name claimed, in the order of the claim.
    pub urls: Vec<String>,
    /// Seconds without any session after which the machine ends; `None` is never.
    #[serde(default)]
    pub idle_after_s: Option<u64>,
    /// The edge's program and version.
    #[serde(default)]
    pub agent: String,
}

/// The number of a session; not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

/// The secret of a session, by which lanes prove that they belong to it.
#[derive(Clone)]
pub struct SessionSecret(Zeroizing<[u8; 32]>);

impl SessionId {
    /// A new random number.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }
}

impl SessionSecret {
    /// A new random secret.
    #[must_use]
    pub fn random() -> Self {
        Self(Zeroizing::new(random()))
    }

    pub(super) fn mac(&self, role: Role, binding: &ChannelBinding) -> Bytes {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        Bytes(hmac::sign(&key, &lane_statement(role, binding)).as_ref().to_vec())
    }

    pub(super) fn made(&self, mac: &Bytes, role: Role, binding: &ChannelBinding) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        hmac::verify(&key, &lane_statement(role, binding), &mac.0).is_ok()
    }
}

fn lane_statement(role: Role, binding: &ChannelBinding) -> Vec<u8> {
    [b"lane-1@irp", role.as_str().as_bytes(), &binding.0].concat()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness TLS itself would not have come this far.
    #[expect(clippy::expect_used, reason = "a system without randomness cannot have made the TLS session")]
    rand::fill(&mut bytes).expect("the system gives randomness");
    bytes
}

/// Bytes that travel as base64 in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        BASE64_STANDARD.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

fn fixed<'de, const N: usize, D: Deserializer<'de>>(from: D) -> Result<[u8; N], D::Error> {
    let bytes = Bytes::deserialize(from)?;
    bytes.0.try_into().map_err(|_| D::Error::custom("a value of the wrong length"))
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Bytes(self.0.to_vec()).serialize(to)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        fixed(from).map(Self)
    }
}

impl Serialize for SessionSecret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(Zeroizing::new(BASE64_STANDARD.encode(self.0.as_slice())).as_str())
    }
}

impl<'de> Deserialize<'de> for SessionSecret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        fixed(from).map(|bytes| Self(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first eight digits, enough to tell sessions apart in a log.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(…)")
    }
}
