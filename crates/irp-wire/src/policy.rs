//! Policies: what a client wants the edge to do with requests before they come through the tunnel.
//!
//! They are the first thing that a client sends on the control stream, so that its names go live with them and
//! no request slips by. The edge keeps them in memory only. [`Webhook`] is what the edge tells about a request
//! that it has verified, in a header that ends at the client.

use std::fmt;

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Set by a client on its answer to the control request: its first message will be its policies.
pub const POLICIES: HeaderName = HeaderName::from_static("irp-policies");

/// Set by the edge on a request for the upstream: the name of the provider that has signed it.
pub const VERIFIED: HeaderName = HeaderName::from_static("irp-verified");

/// Set by the edge on a request for the client: a [`Webhook`].
pub const WEBHOOK: HeaderName = HeaderName::from_static("irp-webhook");

/// Set by the edge on an event for the upstream that was kept for a while: when it came, as RFC 3339 has it.
pub const PARKED_AT: HeaderName = HeaderName::from_static("irp-parked-at");

/// What a client wants for all its names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// One for each provider and path.
    pub policies: Vec<Policy>,
    /// Paths beside them that are open to everybody, each with all below it.
    #[serde(default)]
    pub open: Vec<String>,
}

/// Requests to one path come from one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The provider's name in irp's table, or another one with `row`.
    pub provider: String,
    /// The path, with all below it; the provider's usual one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is shared with the provider: one secret, or several while they are being changed.
    pub secrets: Vec<SecretText>,
    /// What Meta repeats when it asks whether the URL is ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_token: Option<SecretText>,
    /// Let requests pass that are not the provider's, and say so.
    #[serde(default)]
    pub report: bool,
    /// Whether the edge answers the provider's handshakes by itself.
    #[serde(default = "yes")]
    pub handshakes: bool,
    /// Whether the edge keeps events while nobody is there to take them.
    #[serde(default = "yes")]
    pub inbox: bool,
    /// How the provider signs, where it is none of irp's table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Row>,
}

/// The signature scheme of a provider that irp does not know, as `irp_webhook::Row` reads it; what is left out is
/// what most providers do.
///
/// A field that this version does not know would change which requests are believed, so it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Where the signature stands.
    pub signature: String,
    /// What stands there beside the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How the signature is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// With what it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// How the secret is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The text that is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Where the time of signing stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// How far that time may be from now, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<u32>,
    /// Where the number of the delivery stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

fn yes() -> bool {
    true
}

/// A secret on its way to the edge. Prints as dots.
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Takes the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretText {}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

/// What the edge knows about a request to a path with a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The provider's name.
    pub provider: String,
    /// Why it is not believed and passes all the same; `None` where it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What the provider calls it, such as `event_callback app_mention`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Which repeat it is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<u32>,
    /// The very same request was here before: the provider delivers it again, or somebody else does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// How long the provider waits for the answer, in milliseconds; 0 where it waits no more.
    pub deadline_ms: u32,
    /// For how long the edge has kept it, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_s: Option<u64>,
}

impl Webhook {
    /// The header value that carries it; `None` where it holds what no header can.
    #[must_use]
    pub fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(serde_json::to_string(self).ok()?).ok()
    }

    /// Reads it back.
    #[must_use]
    pub fn from_header(value: &HeaderValue) -> Option<Self> {
        serde_json::from_slice(value.as_bytes()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{ClientMessage, Decoder, encode};

    #[test]
    fn policies_travel_and_their_secrets_do_not_print() {
        let policy = Policy {
            provider: "slack".into(),
            path: None,
            secrets: vec![SecretText::new("hush-hush")],
            verify_token: Some(SecretText::new("hush-too")),
            report: false,
            handshakes: true,
            inbox: true,
            row: Some(Row { signature: "x-acme".into(), ..Row::default() }),
        };
        let policies = Policies { policies: vec![policy], open: vec!["/health".into()] };
        let message = ClientMessage::Policies(policies);
        assert!(!format!("{message:?}").contains("hush"));
        let mut decoder = Decoder::default();
        decoder.push(&encode(&message));
        assert_eq!(decoder.message(), Ok(Some(message)));
    }

    #[test]
    fn a_row_that_says_more_than_is_known_is_refused() {
        let read = |row: &str| {
            let policy = format!(r#"{{"provider":"acme","secrets":[],"row":{row}}}"#);
            serde_json::from_str::<Policy>(&policy)
        };
        assert!(read(r#"{"signature":"x-acme"}"#).is_ok());
        assert!(read(r#"{"signature":"x-acme","padding":"odd"}"#).is_err());
    }

    #[test]
    fn what_the_edge_knows_fits_into_a_header() {
        let webhook = Webhook {
            provider: "slack".into(),
            failure: None,
            kind: Some("/grüße \"x\"".into()),
            retry: Some(2),
            repeated: true,
            deadline_ms: 3000,
            kept_s: None,
        };
        assert_eq!(Webhook::from_header(&webhook.to_header().unwrap()), Some(webhook));
        assert_eq!(Webhook::from_header(&HeaderValue::from_static("slack")), None);
    }
}
