//! What Slack sends: events as JSON, slash commands and interactions as forms.

use serde::Deserialize;

use crate::{Request, form, json};

/// A request of Slack, as far as irp wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// The URL is being registered.
    UrlVerification {
        challenge: String,
    },
    /// The certificate is being looked at.
    SslCheck,
    /// `event_callback` and the event's own type.
    Event {
        kind: String,
        inner: Option<String>,
    },
    /// A slash command, such as `/deploy`.
    Command {
        name: String,
    },
    /// Somebody pressed, chose or submitted something.
    Interaction {
        kind: String,
        response_url: Option<String>,
    },
    Other,
}

#[derive(Deserialize)]
struct Outer {
    r#type: String,
    challenge: Option<String>,
    event: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    r#type: Option<String>,
}

impl Payload {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        if is_ssl_check(request) {
            return Self::SslCheck;
        }
        if request.method != "POST" {
            return Self::Other;
        }
        if request.is_form() {
            return Self::of_form(request.body);
        }
        let Ok(outer) = serde_json::from_slice::<Outer>(request.body) else { return Self::Other };
        match (outer.r#type.as_str(), outer.challenge) {
            ("url_verification", Some(challenge)) => Self::UrlVerification { challenge },
            _ => Self::Event { kind: outer.r#type, inner: outer.event.and_then(|event| event.r#type) },
        }
    }

    fn of_form(body: &[u8]) -> Self {
        if let Some(payload) = form::field(body, "payload") {
            let Some(kind) = json::text(&payload, &["type"]) else { return Self::Other };
            return Self::Interaction { kind, response_url: json::text(&payload, &["response_url"]) };
        }
        match form::text(body, "command") {
            Some(name) => Self::Command { name },
            None => Self::Other,
        }
    }

    /// What the live log calls it.
    pub(crate) fn label(&self) -> Option<String> {
        Some(match self {
            Self::UrlVerification { .. } => "url_verification".into(),
            Self::SslCheck => "ssl_check".into(),
            Self::Event { kind, inner: Some(inner) } => format!("{kind} {inner}"),
            Self::Event { kind, inner: None } | Self::Interaction { kind, .. } => kind.clone(),
            Self::Command { name } => name.clone(),
            Self::Other => return None,
        })
    }
}

/// Slack looks at the certificate of slash commands' URLs, maybe without a signature.
pub(crate) fn is_ssl_check(request: &Request<'_>) -> bool {
    let is_set = |form: &[u8]| form::field(form, "ssl_check").is_some_and(|value| value.as_ref() == b"1");
    match request.method {
        "GET" | "HEAD" => is_set(request.query().as_bytes()),
        "POST" => request.is_form() && form::field(request.body, "command").is_none() && is_set(request.body),
        _ => false,
    }
}
