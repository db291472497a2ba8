//! Whatever a visitor sends, the edge either refuses it for its shape or knows one host that it is for, and
//! nothing of the hop or of irp goes on to the tunnel.
//!
//! Input: a digit for the version (0, 1 or 2), the method, a blank, the target; then lines of `name: value`.

#![no_main]

use http::{HeaderMap, HeaderValue, Request, Uri, Version, header, request::Parts};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/irp-edge/src/http/headers.rs"]
#[allow(dead_code, missing_docs, reason = "a module of the edge, of which not all is used here")]
mod rules;

// The rules look for it beside themselves.
#[path = "../../crates/irp-edge/src/http/forwarding.rs"]
#[allow(dead_code, missing_docs, reason = "a module of the edge, of which not all is used here")]
mod forwarding;

const MARK: HeaderValue = HeaderValue::from_static("irp-0123");

fuzz_target!(|data: &[u8]| {
    let Some(mut request) = request(data) else { return };

    let is_chunked_or_none = {
        let mut codings = request.headers.get_all(header::TRANSFER_ENCODING).iter();
        codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
            && request.headers.get_all(header::TRANSFER_ENCODING).iter().count() <= 1
    };
    if let Ok(target) = rules::Target::of(&request) {
        assert!(is_chunked_or_none, "two ways to read the end of the body");
        let mut hosts = request.headers.get_all(header::HOST).iter();
        let host = hosts.next();
        assert!(hosts.next().is_none(), "two hosts");
        assert!(host.is_some() || request.version == Version::HTTP_2);
        if let (Some(host), Some(authority)) = (host, request.uri.authority()) {
            assert!(host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()), "two hosts");
        }
        let name = target.name();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:".contains(&b);
        assert!(!name.is_empty() && name.bytes().all(plain), "{name:?}");
        let origin = rules::origin_form(&request.uri);
        assert!(
            origin.authority().is_none() && (origin.path().starts_with('/') || origin == "*"),
            "{origin:?} of {:?}",
            request.uri
        );
        // It is what stands in the request line for the upstream.
        assert!(origin.to_string().parse::<Uri>().is_ok());
        assert_eq!(origin.query(), request.uri.query());
    }

    let upgrade = rules::upgrade(&request);
    assert!(upgrade.is_none() || request.version == Version::HTTP_11);
    let wants_upgrade = upgrade.is_some();
    let mut answer = request.headers.clone();
    rules::clean_request(&mut request.headers, upgrade);
    check(&request.headers, wants_upgrade);
    rules::mark(&mut request.headers, &MARK);
    assert!(rules::has_passed(&request.headers, "irp-0123"), "a loop goes round");
    rules::clean_response(&mut answer);
    check(&answer, false);
});

fn check(headers: &HeaderMap, is_upgrade: bool) {
    for name in headers.keys() {
        assert!(!name.as_str().starts_with("irp-") && !name.as_str().starts_with("irp_"), "{name} goes on");
        assert!(
            !["keep-alive", "transfer-encoding", "proxy-connection"].contains(&name.as_str()),
            "{name} goes on"
        );
    }
    let connection: Vec<_> = headers.get_all(header::CONNECTION).iter().collect();
    assert_eq!(connection, if is_upgrade { vec!["upgrade"] } else { Vec::new() });
    assert_eq!(headers.get_all(header::UPGRADE).iter().count(), usize::from(is_upgrade));
}

fn request(data: &[u8]) -> Option<Parts> {
    let (version, rest) = data.split_first()?;
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (line, headers) = rest.split_at(end);
    let blank = line.iter().position(|byte| *byte == b' ')?;
    let version = match version {
        b'0' => Version::HTTP_10,
        b'1' => Version::HTTP_11,
        b'2' => Version::HTTP_2,
        _ => return None,
    };
    let request = Request::builder().version(version).method(&line[..blank]).uri(&line[blank + 1..]);
    let mut parts = request.body(()).ok()?.into_parts().0;
    parts.headers = irp_fuzz::headers(headers);
    Some(parts)
}
