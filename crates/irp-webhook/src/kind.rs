//! What a request is called in the live log, the number of its delivery, and which attempt it is.

use crate::{Provider, Request, form, json, manners::People, slack, source::Source};

/// The longest name or number that is passed on, in characters; what is longer was cut.
pub const NAME_MAX: usize = 80;

/// What kind of request it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// What the provider calls it, such as `event_callback app_mention`; visible characters only.
    pub name: Option<String>,
    /// Which repeat it is, from 1; `None` for the first attempt.
    pub retry: Option<u32>,
    /// The number of the delivery: the same in all attempts.
    pub delivery: Option<String>,
}

impl Provider {
    /// Tells what kind of request it is; of use only once it was verified.
    #[must_use]
    pub fn kind(&self, request: &Request<'_>) -> Kind {
        let name = match self.manners().people {
            People::Slack => slack::Payload::of(request).label(),
            People::Discord => discord(request),
            People::Twilio => twilio(request),
            _ => {
                let found = self.kind_sources().iter().find_map(|source| source.find(request).ok()?);
                found.map(std::borrow::Cow::into_owned)
            }
        };
        let retry = self.retry_source().and_then(|source| source.find(request).ok()??.parse().ok());
        Kind {
            name: name.map(visible).filter(|name| !name.is_empty()),
            retry: retry.filter(|number| *number > 0),
            delivery: self.delivery(request),
        }
    }

    fn delivery(&self, request: &Request<'_>) -> Option<String> {
        let number = self.scheme().id.as_ref().and_then(|source| source.find(request).ok()?);
        number.map(|number| visible(number.into_owned())).filter(|number| !number.is_empty())
    }
}

fn visible(text: String) -> String {
    if text.len() <= NAME_MAX && !text.chars().any(char::is_control) {
        return text;
    }
    text.chars().filter(|letter| !letter.is_control()).take(NAME_MAX).collect()
}

fn discord(request: &Request<'_>) -> Option<String> {
    if let Some(event) = json::text(request.body, &["event", "type"]) {
        return Some(event);
    }
    let kind = match json::text(request.body, &["type"])?.as_str() {
        "0" | "1" => "ping",
        "2" => {
            let name = json::text(request.body, &["data", "name"]);
            return Some(name.map_or_else(|| "command".into(), |name| format!("/{name}")));
        }
        "3" => "component",
        "4" => "autocomplete",
        "5" => "modal",
        _ => return None,
    };
    Some(kind.into())
}

fn twilio(request: &Request<'_>) -> Option<String> {
    let (form, json) = (request.is_form(), request.body);
    let text = |name| form.then(|| form::text(json, name)).flatten();
    let kinds = [("MessageStatus", "message"), ("SmsStatus", "sms"), ("CallStatus", "call")];
    kinds.iter().find_map(|(field, word)| text(field).map(|status| format!("{word} {status}")))
}

/// The sources of a row's manners, as they are written there.
pub(crate) fn sources(texts: &[&str]) -> Option<Vec<Source>> {
    texts.iter().map(|text| Source::parse(text)).collect()
}
