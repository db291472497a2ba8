//! What to do about a verified request while nobody is there to take it: keep it and say yes, or tell the
//! person who waits.

use http::StatusCode;
use serde_json::json;

use crate::{Answer, Provider, Request, form, json, manners::People, slack};

/// What a person reads whose request nobody can take.
pub const OFFLINE_TEXT: &str = "This bot is offline right now. Please try again later.";

/// What to do about a request while nobody is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offline {
    /// It is an event: it may be kept, and acknowledged with this answer.
    Park(Answer),
    /// Somebody waits: answer this.
    Answer(Answer),
    /// Somebody waits, and is told elsewhere: answer this, then post this JSON.
    AnswerAndPost {
        /// The answer.
        answer: Answer,
        /// Where the person is told; an address of the provider.
        url: String,
        /// What to post, as `application/json`.
        body: Vec<u8>,
    },
    /// Neither: it is no event, and nothing is known that could be answered.
    Refuse,
}

impl Provider {
    /// What to do about `request` while nobody is there to take it.
    #[must_use]
    pub fn offline(&self, request: &Request<'_>) -> Offline {
        if request.method != "POST" {
            return Offline::Refuse;
        }
        match self.manners().people {
            People::Nobody => Offline::Park(Answer::empty(StatusCode::OK)),
            People::Slack => slack(request),
            People::Discord => discord(request),
            People::Teams => {
                Offline::Answer(Answer::json(&json!({ "type": "message", "text": OFFLINE_TEXT })))
            }
            People::Twilio => twilio(request),
        }
    }
}

fn slack(request: &Request<'_>) -> Offline {
    let done = || Answer::empty(StatusCode::OK);
    match slack::Payload::of(request) {
        slack::Payload::Event { .. } => Offline::Park(done()),
        slack::Payload::Command { .. } => {
            let told = json!({ "response_type": "ephemeral", "text": OFFLINE_TEXT });
            Offline::Answer(Answer::json(&told))
        }
        slack::Payload::Interaction { kind, response_url } => match kind.as_str() {
            "block_actions" | "message_action" | "interactive_message" | "dialog_submission" => {
                match response_url.filter(|url| is_response_url(url)) {
                    Some(url) => {
                        let told = json!({
                            "response_type": "ephemeral", "replace_original": false, "text": OFFLINE_TEXT
                        });
                        Offline::AnswerAndPost { answer: done(), url, body: told.to_string().into_bytes() }
                    }
                    None => Offline::Answer(done()),
                }
            }
            "view_submission" => Offline::Answer(Answer::json(&json!({
                "response_action": "update",
                "view": {
                    "type": "modal",
                    "title": { "type": "plain_text", "text": "Offline" },
                    "close": { "type": "plain_text", "text": "Close" },
                    "blocks": [{ "type": "section", "text": { "type": "plain_text", "text": OFFLINE_TEXT } }]
                }
            }))),
            "block_suggestion" | "dialog_suggestion" => {
                Offline::Answer(Answer::json(&json!({ "options": [] })))
            }
            // Nobody waits for what follows from it.
            "view_closed" | "workflow_step_execute" => Offline::Park(done()),
            // A shortcut: it wants a modal within seconds, which nobody can open later.
            _ => Offline::Answer(done()),
        },
        _ => Offline::Refuse,
    }
}

/// Where Slack takes answers; anything else could be a stranger's address.
fn is_response_url(url: &str) -> bool {
    url.strip_prefix("https://hooks.slack.com/")
        .is_some_and(|path| path.len() < 1024 && path.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn discord(request: &Request<'_>) -> Offline {
    /// Shown to the person alone.
    const EPHEMERAL: u32 = 64;
    let is_event = json::text(request.body, &["event", "type"]).is_some();
    match json::text(request.body, &["type"]).as_deref() {
        Some("1") if is_event => Offline::Park(Answer::empty(StatusCode::NO_CONTENT)),
        // A command, a button, a form.
        Some("2" | "3" | "5") => Offline::Answer(Answer::json(
            &json!({ "type": 4, "data": { "content": OFFLINE_TEXT, "flags": EPHEMERAL } }),
        )),
        Some("4") => Offline::Answer(Answer::json(&json!({ "type": 8, "data": { "choices": [] } }))),
        _ => Offline::Refuse,
    }
}

/// A call waits for words, a message or a status for nothing.
fn twilio(request: &Request<'_>) -> Offline {
    let has = |name| request.is_form() && form::field(request.body, name).is_some();
    if has("CallSid") && !has("CallbackSource") && !has("RecordingSid") && !has("SequenceNumber") {
        let words = format!("<Response><Say>{OFFLINE_TEXT}</Say></Response>");
        return Offline::Answer(Answer::xml(&words));
    }
    Offline::Park(Answer::xml("<Response/>"))
}
