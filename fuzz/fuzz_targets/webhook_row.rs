//! A row that a user writes either reads, and then what it signs it also believes, or it is refused in a sentence.
//!
//! Input: one field of the row a line.

#![no_main]

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use irp_webhook::{Provider, Request, Row, Secret, Settings, Verifier};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let row = Row {
        signature: next(),
        format: next(),
        encoding: next(),
        algorithm: next(),
        key: next(),
        template: next(),
        timestamp: next(),
        id: next(),
        tolerance: 300,
    };
    let provider = match Provider::custom("acme", &row) {
        Ok(provider) => provider,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let secret = Secret::new("MDEyMzQ1Njc4OWFiY2RlZg==");
    let Ok(verifier) = Verifier::new(provider.clone(), &[secret.clone()], Settings::default()) else {
        return;
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let (none, mut headers) = (HeaderMap::new(), HeaderMap::new());
    let request = Request { method: "POST", url: "https://a.example/%3A", headers: &none, body: b"{}" };
    let Ok(signed) = provider.sign(&secret, &request, now, "1") else { return };
    // Where two fields share a place, one overwrites the other.
    let places: Vec<_> = signed.headers.iter().map(|(name, _)| name.clone()).collect();
    for (name, value) in signed.headers {
        headers.insert(name, value);
    }
    let request = Request { headers: &headers, body: &signed.body, url: &signed.url, ..request };
    let is_plain = places.len() == headers.len() && signed.body == b"{}" && row.format == "plain";
    if let (Err(failure), true) = (verifier.verify(&request, now, None), is_plain) {
        panic!("{row:?} does not believe itself: {failure}");
    }
});
