//! Samples: requests such as a provider sends, to try a program without it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use crate::{Provider, manners::People, source::Source};

/// What a sample is called where no event is named.
const EVENT: &str = "irp.sample";
/// The same for Slack.
const SLACK_EVENT: &str = "app_mention";

/// A request that is not signed yet.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Headers, among them the type of the body.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Sample {
    /// A body of one's own.
    #[must_use]
    pub fn of_body(body: Vec<u8>) -> Self {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
        Self::typed(if is_json { "application/json" } else { "application/x-www-form-urlencoded" }, body)
    }

    fn typed(kind: &'static str, body: Vec<u8>) -> Self {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        Self { headers, body }
    }

    fn json(json: &Value) -> Self {
        Self::typed("application/json", json.to_string().into_bytes())
    }

    fn form(pairs: &[(&str, &str)]) -> Self {
        let escaped = |text: &str| -> String {
            let escape = |byte: u8| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            };
            text.bytes().map(escape).collect()
        };
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        Self::typed("application/x-www-form-urlencoded", pairs.join("&").into_bytes())
    }
}

impl Provider {
    /// A sample of `event`, in the provider's own words: `app_mention`, `url_verification`, `block_actions` or
    /// `/command` of Slack, `push` of GitHub, `endpoint.url_validation` of Zoom. `id` is the delivery's number.
    #[must_use]
    pub fn sample(&self, event: Option<&str>, now: SystemTime, id: &str) -> Sample {
        let second = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        match self.manners().people {
            People::Slack => slack(event.unwrap_or(SLACK_EVENT), second, id),
            People::Twilio => Sample::form(&[
                ("MessageSid", "SM00000000000000000000000000000000"),
                ("SmsStatus", event.unwrap_or("received")),
                ("From", "+15550100"),
                ("To", "+15550101"),
                ("Body", "A sample of irp"),
            ]),
            _ => self.plain(event.unwrap_or(EVENT), second, id),
        }
    }

    /// JSON, with the event's name where this provider has it.
    fn plain(&self, event: &str, second: u64, id: &str) -> Sample {
        let mut body = json!({ "id": id, "created": second, "sample": true });
        if event == "endpoint.url_validation" {
            body["payload"] = json!({ "plainToken": id });
        }
        let mut headers = Vec::new();
        match self.kind_sources().first() {
            Some(Source::Header(name)) => headers.push((name.clone(), event)),
            Some(Source::Body(path)) => {
                let place = path.iter().fold(&mut body, |place, key| {
                    if !place.is_object() {
                        *place = json!({});
                    }
                    &mut place[key.as_str()]
                });
                *place = event.into();
            }
            None => {}
        }
        let mut sample = Sample::json(&body);
        let values =
            headers.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)));
        sample.headers.extend(values);
        sample
    }
}

fn slack(event: &str, second: u64, id: &str) -> Sample {
    let (team, user, channel) = ("T0000000000", "U0000000000", "C0000000000");
    if let Some(command) = event.strip_prefix('/') {
        return Sample::form(&[
            ("team_id", team),
            ("channel_id", channel),
            ("user_id", user),
            ("command", &format!("/{command}")),
            ("text", "a sample of irp"),
            ("trigger_id", id),
        ]);
    }
    match event {
        "url_verification" => Sample::json(&json!({ "type": event, "token": "irp", "challenge": id })),
        "block_actions" | "view_submission" | "view_closed" | "shortcut" | "message_action"
        | "block_suggestion" => {
            let mut payload = json!({
                "type": event,
                "team": { "id": team },
                "user": { "id": user, "team_id": team },
                "trigger_id": id,
            });
            // Frameworks tell the types apart by what else is there.
            let own = match event {
                "block_actions" => json!({
                    "actions": [{ "type": "button", "action_id": "irp", "block_id": "irp", "value": "sample" }]
                }),
                "block_suggestion" => json!({ "action_id": "irp", "block_id": "irp", "value": "sample" }),
                "view_submission" | "view_closed" => json!({
                    "view": { "id": "V0000000000", "type": "modal", "callback_id": "irp", "state": { "values": {} } }
                }),
                "message_action" => json!({ "callback_id": "irp", "message": { "text": "a sample of irp" } }),
                _ => json!({ "callback_id": "irp" }),
            };
            if let (Some(payload), Value::Object(own)) = (payload.as_object_mut(), own) {
                payload.extend(own);
            }
            Sample::form(&[("payload", &payload.to_string())])
        }
        _ => Sample::json(&json!({
            "type": "event_callback",
            "team_id": team,
            "api_app_id": "A0000000000",
            "event_id": format!("Ev{id}"),
            "event_time": second,
            "event": {
                "type": event,
                "user": user,
                "channel": channel,
                "text": "<@U0000000001> a sample of irp",
                "ts": format!("{second}.000100"),
                "event_ts": format!("{second}.000100")
            },
            "authorizations": [{ "team_id": team, "user_id": "U0000000001", "is_bot": true }]
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, Secret};

    #[test]
    fn each_provider_has_a_sample_that_can_be_signed_and_tells_its_event() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for provider in Provider::all() {
            let sample = provider.sample(None, now, "17");
            let url = "https://a.example/";
            let request = Request { method: "POST", url, headers: &sample.headers, body: &sample.body };
            if provider.is_symmetric() {
                let secret = Secret::new("MDEyMzQ1Njc4OWFiY2RlZg==");
                assert!(provider.sign(&secret, &request, now, "17").is_ok(), "{}", provider.name());
            }
            if !provider.kind_sources().is_empty() {
                assert_eq!(provider.kind(&request).name.as_deref(), Some(EVENT), "{}", provider.name());
            }
        }
    }

    #[test]
    fn slack_has_events_commands_and_interactions() {
        let slack = Provider::named("slack").unwrap();
        for (event, name) in [
            (None, "event_callback app_mention"),
            (Some("message"), "event_callback message"),
            (Some("/deploy"), "/deploy"),
            (Some("block_actions"), "block_actions"),
            (Some("url_verification"), "url_verification"),
        ] {
            let sample = slack.sample(event, UNIX_EPOCH, "17");
            let request = Request { method: "POST", url: "", headers: &sample.headers, body: &sample.body };
            assert_eq!(slack.kind(&request).name.as_deref(), Some(name));
        }
    }
}
