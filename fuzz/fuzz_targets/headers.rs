//! Whatever headers arrive, nothing of the hop and nothing of irp's goes on, and nothing else gets lost.
//! A failure travels in its header, whichever blanks the way takes off.
//!
//! Input: lines of `name: value`.

#![no_main]

use http::{HeaderMap, header};
use irp_fuzz::headers;
use irp_wire::headers::{Failure, remove_hop_by_hop, remove_internal};
use libfuzzer_sys::fuzz_target;

const OF_THE_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// What `Connection` cannot take away.
const KEPT: [&str; 3] = ["host", "content-length", "authorization"];

fuzz_target!(|data: &[u8]| {
    let before = headers(data);
    let mut after = before.clone();
    remove_hop_by_hop(&mut after);
    remove_internal(&mut after);

    for name in before.keys().chain(after.keys()) {
        let is_te = name == header::TE;
        let goes = is_of_the_hop(name.as_str())
            || is_internal(name.as_str())
            // Chunks say the length (RFC 9112, section 6.3).
            || (name == header::CONTENT_LENGTH && before.contains_key(header::TRANSFER_ENCODING))
            || (!is_te && is_named(&before, name.as_str()));
        if goes {
            assert!(!after.contains_key(name), "{name} goes on");
        } else if !is_te {
            assert!(before.get_all(name).iter().eq(after.get_all(name)), "{name} is changed");
        }
    }
    assert!(after.get_all(header::TE).iter().all(|value| value == "trailers"), "more than trailers");
    assert_eq!(after.contains_key(header::TE), wants_trailers(&before));

    let once = after.clone();
    remove_hop_by_hop(&mut after);
    remove_internal(&mut after);
    assert_eq!(once, after, "doing it twice changes something");

    let detail = String::from_utf8_lossy(data);
    for failure in [Failure::Refused, Failure::TimedOut, Failure::Broken, Failure::Loop] {
        let value = failure.to_header(&detail);
        let (found, text) = Failure::from_header(&value);
        assert_eq!(found, failure);
        assert!(text.len() <= 200 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let trimmed = value.as_bytes().trim_ascii().try_into().expect("a part of a value is a value");
        assert_eq!(Failure::from_header(&trimmed).0, failure, "a blank is lost on the way");
    }
});

fn is_of_the_hop(name: &str) -> bool {
    OF_THE_HOP.contains(&name)
}

fn is_internal(name: &str) -> bool {
    name.starts_with("irp-") || name.starts_with("irp_")
}

/// Whether `Connection` says that this header ends at the hop.
fn is_named(headers: &HeaderMap, name: &str) -> bool {
    let tokens =
        headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let mut tokens = tokens.map(<[u8]>::trim_ascii);
    !KEPT.contains(&name) && tokens.any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
}

/// A visitor that wants trailers must name `TE` in `Connection` (RFC 9110, section 10.1.4); it gets them.
fn wants_trailers(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::TE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    codings.map(<[u8]>::trim_ascii).any(|coding| coding == b"trailers")
}
