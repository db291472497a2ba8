//! A path that belongs to a provider can be read in one way only, however an upstream decodes it; and what the edge tells
//! the client about a webhook in a header is told again the same.
//!
//! Input: the path, a line feed, the header's value.

#![no_main]

use http::HeaderValue;
use irp_wire::policy::Webhook;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/irp-edge/src/http/webhook/paths.rs"]
#[allow(dead_code, missing_docs, reason = "a module of the edge, of which not all is used here")]
mod paths;

use paths::{Path, plain};

fuzz_target!(|data: &[u8]| {
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (text, value) = (&data[..cut], data.get(cut + 1..).unwrap_or_default());
    if let Ok(text) = std::str::from_utf8(text) {
        path(text);
    }
    if let Ok(value) = HeaderValue::from_bytes(value)
        && let Some(webhook) = Webhook::from_header(&value)
        && let Some(told) = webhook.to_header()
    {
        assert_eq!(Webhook::from_header(&told), Some(webhook));
    }
});

fn path(text: &str) {
    let slack = Path::new("/slack").expect("it is one");
    // The path of a request begins with a slash.
    if let Some(read) = plain(text).filter(|_| text.starts_with('/')) {
        // Whoever decodes it once more, or takes parts of it for a step up, gets the same.
        assert_eq!(plain(&read).as_deref(), Some(&*read));
        assert!(read.split('/').all(|part| part != ".."), "{read}");
        assert!(!read.contains(['%', '\\', ';']), "{read}");
        assert!(!slack.holds(&read, true) || slack.holds(&read, false), "{read}");
        let is_below = read
            .to_ascii_lowercase()
            .strip_prefix("/slack")
            .map(|rest| rest.starts_with('/') || rest.is_empty());
        assert_eq!(slack.holds(&read, false), is_below == Some(true), "{read}");
    }
    if let Ok(rule) = Path::new(text) {
        assert_eq!(plain(text).as_deref(), Some(text), "a path of a policy is one that requests can have");
        assert!(rule.holds(text, true));
        assert_eq!(Path::new(&rule.to_string()), Ok(rule));
    }
}
