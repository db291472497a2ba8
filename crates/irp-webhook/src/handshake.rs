//! Handshakes: what a provider asks to see whether a URL is ours, and the answers.
//!
//! Where the provider signs its question, it is answered after verification only.

use std::fmt;

use aws_lc_rs::hmac;
use http::{HeaderName, StatusCode};
use serde_json::json;

use crate::{
    Answer, Request, Secret, SubscribeUrl, Verified, Verifier,
    encoding::hex,
    form, json,
    key::{Key, same},
    manners::Flow,
    slack, sns,
    source::single,
};

/// The longest body of a handshake, in bytes; a longer one is an event.
const BODY_MAX: usize = 16 * 1024;
/// The longest challenge that is sent back, in bytes.
const CHALLENGE_MAX: usize = 1024;
/// Asana's secret travels in this header, both ways.
const HOOK_SECRET: HeaderName = HeaderName::from_static("x-hook-secret");
/// What Asana's secret may be as long as.
const HOOK_SECRET_MAX: usize = 256;

/// What to do about a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Answer.
    Answer(Answer),
    /// Get this address, and answer when that was done.
    Confirm {
        /// The address, which is one of the provider's.
        url: SubscribeUrl,
        /// The answer afterwards.
        answer: Answer,
    },
    /// Keep this secret from now on, and answer.
    Learn {
        /// The secret.
        secret: Secret,
        /// The answer.
        answer: Answer,
    },
}

/// What the handshakes of some providers need beyond the secret. Prints without it.
#[derive(Clone, Default)]
pub struct Settings {
    /// The word that Meta repeats when it asks.
    pub verify_token: Option<Secret>,
    /// Whether the secret that Asana tells is taken. Anybody could tell one, so this is for the time of the
    /// registration.
    pub learn: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("learn", &self.learn).finish_non_exhaustive()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(self.expose().as_bytes(), other.expose().as_bytes())
    }
}

impl Eq for Secret {}

impl Verifier {
    /// The answer to a handshake that its provider does not sign; to be asked before verification.
    #[must_use]
    pub fn open_handshake(&self, request: &Request<'_>) -> Option<Handshake> {
        if request.body.len() > BODY_MAX {
            return None;
        }
        let answer = match self.provider().manners().handshake {
            Flow::Slack => slack::is_ssl_check(request).then(|| Answer::empty(StatusCode::OK)),
            Flow::Meta => self.meta(request),
            Flow::Dropbox if request.method == "GET" => {
                let challenge = form::text(request.query().as_bytes(), "challenge")?;
                (challenge.len() <= CHALLENGE_MAX).then(|| Answer::text(challenge))
            }
            Flow::Asana => return self.asana(request),
            Flow::Head if request.method == "HEAD" => Some(Answer::empty(StatusCode::OK)),
            _ => None,
        };
        answer.map(Handshake::Answer)
    }

    /// The answer to a handshake that was verified.
    #[must_use]
    pub fn signed_handshake(&self, request: &Request<'_>, verified: &Verified) -> Option<Handshake> {
        if request.method != "POST" || request.body.len() > BODY_MAX {
            return None;
        }
        let answer = match self.provider().manners().handshake {
            Flow::Slack => match slack::Payload::of(request) {
                slack::Payload::UrlVerification { challenge } => challenge_back(challenge),
                _ => None,
            },
            Flow::Discord => discord(request),
            Flow::Zoom => self.zoom(request, verified),
            Flow::Twitch => {
                let name = HeaderName::from_static("twitch-eventsub-message-type");
                let asks = single(request.headers, &name) == Ok(Some("webhook_callback_verification"));
                asks.then(|| json::text(request.body, &["challenge"])).flatten().and_then(challenge_back)
            }
            Flow::Line => {
                let is_empty = |body: Events| body.events.is_empty();
                let body = serde_json::from_slice::<Events>(request.body).ok();
                body.is_some_and(is_empty).then(|| Answer::empty(StatusCode::OK))
            }
            Flow::Sns => {
                let url = sns::Message::read(request.body).ok()?.confirmation()?;
                return Some(Handshake::Confirm { url, answer: Answer::empty(StatusCode::OK) });
            }
            _ => None,
        };
        answer.map(Handshake::Answer)
    }

    fn meta(&self, request: &Request<'_>) -> Option<Answer> {
        let query = request.query().as_bytes();
        if request.method != "GET" || form::text(query, "hub.mode").as_deref() != Some("subscribe") {
            return None;
        }
        let expected = self.settings.verify_token.as_ref()?;
        let token = form::text(query, "hub.verify_token").unwrap_or_default();
        let challenge = form::text(query, "hub.challenge").filter(|text| text.len() <= CHALLENGE_MAX);
        match challenge {
            Some(challenge) if same(token.as_bytes(), expected.expose().as_bytes()) => {
                Some(Answer::text(challenge))
            }
            _ => Some(Answer::empty(StatusCode::FORBIDDEN)),
        }
    }

    fn asana(&self, request: &Request<'_>) -> Option<Handshake> {
        if request.method != "POST" || !self.settings.learn || !self.keys().is_empty() {
            return None;
        }
        let secret = single(request.headers, &HOOK_SECRET).ok().flatten()?;
        if secret.is_empty() || secret.len() > HOOK_SECRET_MAX {
            return None;
        }
        let mut answer = Answer::empty(StatusCode::OK);
        answer.headers.push((HOOK_SECRET, request.headers.get(HOOK_SECRET)?.clone()));
        Some(Handshake::Learn { secret: Secret::new(secret), answer })
    }

    /// Zoom wants its word back, and the word's MAC.
    fn zoom(&self, request: &Request<'_>, verified: &Verified) -> Option<Answer> {
        if json::text(request.body, &["event"])? != "endpoint.url_validation" {
            return None;
        }
        let word = json::text(request.body, &["payload", "plainToken"])?;
        let Key::Hmac(key) = self.keys().get(verified.key)? else { return None };
        let mac = hmac::sign(key, word.as_bytes());
        Some(Answer::json(&json!({ "plainToken": word, "encryptedToken": hex(mac.as_ref()) })))
    }
}

#[derive(serde::Deserialize)]
struct Events {
    events: Vec<serde::de::IgnoredAny>,
}

fn challenge_back(challenge: String) -> Option<Answer> {
    (challenge.len() <= CHALLENGE_MAX).then(|| Answer::text(challenge))
}

/// PING of interactions is type 1; of webhook events, whose events are type 1, it is type 0.
fn discord(request: &Request<'_>) -> Option<Answer> {
    #[derive(serde::Deserialize)]
    struct Outer {
        r#type: u64,
        event: Option<serde::de::IgnoredAny>,
    }
    let outer: Outer = serde_json::from_slice(request.body).ok()?;
    match (outer.r#type, outer.event) {
        (1, None) => Some(Answer::json(&json!({ "type": 1 }))),
        (0, _) => Some(Answer::empty(StatusCode::NO_CONTENT)),
        _ => None,
    }
}
