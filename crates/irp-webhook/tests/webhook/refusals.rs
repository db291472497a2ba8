//! Everything that can be wrong with a request, for each row of the table and for rows as users write them.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, header};
use irp_webhook::{Failure, Provider, Row, Settings, TABLE, Verifier};
use serde_json::Value;

use crate::case::{BODY, Case, other_secret_of, rows, secret_of};

/// A correctly signed request for every row.
fn signed_rows() -> Vec<(Case, Row<'static>)> {
    let rows = rows().into_iter().map(|(name, row)| {
        let mut case = Case::new(name, &secret_of(name), &[("content-type", "application/json")], BODY);
        case.sign("msg_1");
        assert!(case.verdict().is_ok(), "{name}: {:?}", case.verdict());
        (case, row)
    });
    rows.collect()
}

/// The header with the signature; `None` where it stands in the body.
fn header_of(row: &Row<'_>) -> Option<HeaderName> {
    if row.signature.starts_with("body:") {
        return None;
    }
    row.signature.split(' ').next()?.replace('*', "1").parse().ok()
}

/// The keys of the body's field with the signature.
fn field_of(row: &Row<'_>) -> Option<Vec<String>> {
    Some(row.signature.strip_prefix("body:")?.split('.').map(str::to_owned).collect())
}

/// The signature as it is written.
fn written(case: &Case, row: &Row<'_>) -> String {
    let Some(path) = field_of(row) else {
        return case.headers[header_of(row).unwrap()].to_str().unwrap().to_owned();
    };
    let body: Value = serde_json::from_slice(&case.body).unwrap();
    path.iter().fold(&body, |place, key| &place[key.as_str()]).as_str().unwrap().to_owned()
}

/// The same request with another signature; `None` where no header could hold it.
fn with_signature(case: &Case, row: &Row<'_>, signature: &[u8]) -> Option<Case> {
    let mut other = case.clone();
    match field_of(row) {
        None => {
            other.headers.insert(header_of(row)?, HeaderValue::from_bytes(signature).ok()?);
        }
        Some(path) => {
            let mut body: Value = serde_json::from_slice(&case.body).unwrap();
            let place = path.iter().fold(&mut body, |place, key| &mut place[key.as_str()]);
            *place = String::from_utf8_lossy(signature).into();
            other.body = serde_json::to_vec(&body).unwrap();
        }
    }
    Some(other)
}

/// Whether what is signed says nothing about the body.
fn leaves_body_out(case: &Case, row: &Row<'_>) -> bool {
    is_token(row) || ["mailgun", "acme-body"].contains(&case.provider.as_str())
}

fn is_token(row: &Row<'_>) -> bool {
    row.algorithm == "token"
}

#[test]
fn every_row_is_tried() {
    let own = signed_rows().iter().filter(|(case, _)| case.provider.starts_with("acme")).count();
    assert!(own > 0);
    assert_eq!(signed_rows().len() - own, TABLE.len() - 1);
}

#[test]
fn another_secret() {
    for (mut case, row) in signed_rows() {
        case.secrets = vec![other_secret_of(&case.provider)];
        let expected = if is_token(&row) { Failure::Token } else { Failure::Mismatch };
        assert_eq!(case.verdict(), Err(expected), "{}", case.provider);
    }
}

#[test]
fn one_byte_of_the_body() {
    for (case, row) in signed_rows() {
        if leaves_body_out(&case, &row) {
            continue;
        }
        for at in 0..case.body.len() {
            let mut other = case.clone();
            other.body[at] ^= 1;
            assert!(other.verdict().is_err(), "{} at {at}", case.provider);
        }
        let mut shorter = case.clone();
        shorter.body.pop();
        assert!(shorter.verdict().is_err(), "{}", case.provider);
    }
}

#[test]
fn one_byte_of_the_signature() {
    for (case, row) in signed_rows() {
        let value = written(&case, &row).into_bytes();
        // The last digit of base64 before its padding has bits to spare.
        for at in 0..value.len() {
            let mut value = value.clone();
            value[at] ^= 1;
            let Some(other) = with_signature(&case, &row, &value) else { continue };
            assert!(other.verdict().is_err(), "{} at {at}", case.provider);
        }
    }
}

#[test]
fn a_signature_that_is_cut_or_too_long() {
    for (case, row) in signed_rows() {
        let value = written(&case, &row);
        for wrong in ["", &value[..value.len() - 1], &format!("{value}0"), &format!("{value}00"), "!"] {
            let other = with_signature(&case, &row, wrong.as_bytes()).unwrap();
            assert!(other.verdict().is_err(), "{}: {wrong:?}", case.provider);
        }
    }
}

#[test]
fn another_encoding() {
    for (case, row) in signed_rows() {
        let value = written(&case, &row);
        // A prefix or what stands beside the signature stays.
        let start = value.rfind([',', ';', ':', ' ']).map_or(0, |at| at + 1);
        let start = ["v0=", "v1=", "sha256=", "sha1=", "sig="]
            .iter()
            .find_map(|prefix| value[start..].starts_with(prefix).then_some(start + prefix.len()))
            .unwrap_or(start);
        let (before, signature) = value.split_at(start);
        let other = match row.encoding {
            "hex" => BASE64_STANDARD.encode(unhex(signature)),
            "base64" => hex(&BASE64_STANDARD.decode(signature).unwrap()),
            // A token stands as it is.
            _ => continue,
        };
        let other = with_signature(&case, &row, format!("{before}{other}").as_bytes()).unwrap();
        let verdict = other.verdict();
        // Signatures of ECDSA have no length of their own.
        let is_other = row.algorithm == "ecdsa-p256" && verdict == Err(Failure::Mismatch);
        assert!(is_other || matches!(verdict, Err(Failure::Malformed(_))), "{}: {verdict:?}", case.provider);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
    digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
}

#[test]
fn a_field_of_the_body_that_is_missing_or_there_twice() {
    for (case, row) in signed_rows() {
        let sources = [row.signature, row.timestamp, row.id];
        let signed = |source: &&str| !row.id.eq(*source) || row.template.contains("{id}");
        let paths = sources.into_iter().filter(signed).filter_map(|source| source.strip_prefix("body:"));
        for path in paths {
            let last = path.split(':').next().unwrap().rsplit('.').next().unwrap();
            let text = String::from_utf8(case.body.clone()).unwrap();
            let (key, other_key) = (format!("\"{last}\":"), format!("\"no-{last}\":"));
            assert!(text.contains(&key), "{}: {text}", case.provider);
            for body in [text.replace(&key, &other_key), text.replace(&key, &format!("{key}0,{key}"))] {
                let other = Case { body: body.into_bytes(), ..case.clone() };
                let verdict = other.verdict();
                assert!(matches!(verdict, Err(Failure::Missing(_))), "{} {path}: {verdict:?}", case.provider);
            }
        }
    }
}

#[test]
fn a_header_that_is_missing() {
    for (case, _) in signed_rows() {
        for name in case.headers.keys().filter(|name| **name != header::CONTENT_TYPE) {
            let mut other = case.clone();
            other.headers.remove(name);
            let verdict = other.verdict();
            // The number of a delivery is signed by few.
            if case.provider_signs(name) {
                assert_eq!(verdict, Err(Failure::Missing(name.to_string())), "{}", case.provider);
            } else {
                assert!(verdict.is_ok(), "{}: {verdict:?}", case.provider);
            }
        }
    }
}

impl Case {
    fn provider_signs(&self, header: &HeaderName) -> bool {
        let (_, row) = rows().into_iter().find(|(name, _)| *name == self.provider).unwrap();
        let is_id = row.id == format!("header:{header}");
        !is_id || row.template.contains("{id}")
    }
}

#[test]
fn a_header_that_is_there_twice() {
    for (case, row) in signed_rows() {
        let Some(signature) = header_of(&row) else { continue };
        for name in case.headers.keys().filter(|name| case.provider_signs(name)) {
            if *name == header::CONTENT_TYPE {
                continue;
            }
            let mut twice = case.clone();
            twice.headers.append(name.clone(), case.headers[name].clone());
            let is_list = *name == signature && row.format.starts_with("list");
            let verdict = twice.verdict();
            if is_list {
                assert!(verdict.is_ok(), "{}: {verdict:?}", case.provider);
            } else if *name == signature && row.format.starts_with("kv") {
                // Joined, and then the time is there twice.
                assert!(matches!(verdict, Err(Failure::Repeated(_))), "{}: {verdict:?}", case.provider);
            } else {
                assert_eq!(verdict, Err(Failure::Repeated(name.to_string())), "{}", case.provider);
            }
        }
    }
}

#[test]
fn too_old_and_too_new() {
    let mut timed = 0;
    for (case, row) in signed_rows().into_iter().filter(|(_, row)| !row.timestamp.is_empty()) {
        timed += 1;
        let tolerance = u64::from(row.tolerance);
        let off = |seconds: i64| {
            let mut other = case.clone();
            let span = Duration::from_secs(seconds.unsigned_abs());
            other.now = if seconds < 0 { case.now - span } else { case.now + span };
            other.verdict().map(|_| ())
        };
        let limit = i64::from(row.tolerance);
        assert_eq!(off(limit), Ok(()), "{}", case.provider);
        assert_eq!(off(-limit), Ok(()), "{}", case.provider);
        assert_eq!(off(limit + 1), Err(Failure::Old(tolerance + 1)), "{}", case.provider);
        assert_eq!(off(-limit - 1), Err(Failure::Ahead(tolerance + 1)), "{}", case.provider);
    }
    assert_eq!(timed, rows().iter().filter(|(_, row)| !row.timestamp.is_empty()).count());
}

#[test]
fn a_time_that_is_not_the_signed_one_or_none_at_all() {
    for (case, row) in signed_rows() {
        let Some(name) = row.timestamp.strip_prefix("header:").and_then(|rest| rest.split(':').next()) else {
            continue;
        };
        let is_date = row.timestamp.ends_with("rfc3339");
        let later = if is_date { "2023-11-14T22:13:21Z" } else { "1700000001" };
        let later = if row.timestamp.ends_with("ms") { "1700000000001" } else { later };
        for (value, expected) in [
            (later, Failure::Mismatch),
            ("", Failure::Malformed(name.into())),
            ("soon", Failure::Malformed(name.into())),
            ("-1700000000", Failure::Malformed(name.into())),
            ("17000000000000000", Failure::Malformed(name.into())),
        ] {
            let mut other = case.clone();
            other.headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            assert_eq!(other.verdict(), Err(expected), "{} {value:?}", case.provider);
        }
    }
}

#[test]
fn several_secrets_while_they_are_being_changed() {
    for (mut case, _) in signed_rows() {
        let right = case.secrets[0].clone();
        let other = other_secret_of(&case.provider);
        case.secrets = vec![other.clone(), right.clone()];
        assert_eq!(case.verdict().unwrap().key, 1, "{}", case.provider);
        case.secrets = vec![right, other];
        assert_eq!(case.verdict().unwrap().key, 0, "{}", case.provider);
    }
}

#[test]
fn an_empty_body() {
    for (name, row) in rows() {
        // Theirs holds the signature or the time.
        if row.signature.starts_with("body:") || row.timestamp.starts_with("body:") {
            continue;
        }
        let mut case = Case::new(name, &secret_of(name), &[], b"");
        case.sign("msg_1");
        assert!(case.verdict().is_ok(), "{name}: {:?}", case.verdict());
    }
}

#[test]
fn the_fingerprint_tells_one_signing_from_another() {
    for (case, row) in signed_rows().into_iter().filter(|(_, row)| !row.timestamp.is_empty()) {
        let mut later = case.clone();
        later.now += Duration::from_secs(1);
        later.sign("msg_1");
        let (one, other) = (case.verdict().unwrap(), later.verdict().unwrap());
        assert_ne!(one.fingerprint, other.fingerprint, "{}", case.provider);
        assert_eq!(one.fingerprint, case.verdict().unwrap().fingerprint);
        assert_eq!(one.signed_at, Some(case.now), "{row:?}");
    }
}

#[test]
fn no_secret_shows_in_what_can_be_printed() {
    for (mut case, row) in signed_rows() {
        case.secrets = vec![other_secret_of(&case.provider)];
        let failure = case.verdict().unwrap_err();
        let told = format!("{failure:?} {failure} {:?}", case.verifier());
        assert!(!told.contains(&case.secrets[0]) && !told.contains(&secret_of(&case.provider)), "{row:?}");
    }
}

#[test]
fn a_provider_without_a_secret_believes_nobody() {
    let github = Provider::named("github").unwrap();
    assert!(Verifier::new(github, &[], Settings::default()).is_err());
    let asana = Provider::named("asana").unwrap();
    let asana = Verifier::new(asana, &[], Settings::default()).unwrap();
    let case = Case::new("asana", "", &[("x-hook-signature", &"0".repeat(64))], BODY);
    assert_eq!(asana.verify(&case.request(), case.now, None), Err(Failure::NoSecret));
}

#[test]
fn more_signatures_than_any_provider_sends() {
    let list = vec!["v1=00".to_owned() + &"0".repeat(62); 101].join(",");
    let case = Case::new("pagerduty", "x", &[("x-pagerduty-signature", &list)], BODY);
    assert_eq!(case.verdict(), Err(Failure::Malformed("x-pagerduty-signature".into())));
}
