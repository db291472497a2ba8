//! Header rules that both ends follow: which headers end at a hop, and which belong to irp itself.

use http::{
    HeaderMap, HeaderName,
    header::{self, HeaderValue},
};

/// The prefix of irp's own headers. None of them passes inwards from the Internet or outwards from the
/// upstream.
pub const INTERNAL_PREFIX: &str = "irp-";

/// Set by the client on an answer that it made itself because the upstream gave none: a [`Failure`]'s word,
/// a colon, and a detail for the developer.
pub const FAILURE: HeaderName = HeaderName::from_static("irp-failure");

/// Set by the client on its answer to an upgrade that the upstream declined: the upstream's true status.
/// The answer's own status is then 501, since to extended CONNECT every 2xx would mean a change (RFC 8441).
pub const STATUS: HeaderName = HeaderName::from_static("irp-status");

/// Set by the edge on a request: the upgrade protocol that the visitor asked for (RFC 9110, section 7.8),
/// where the tunnel is HTTP/2 and `Upgrade` itself cannot travel. Set by the client on a 200 that means: the
/// upstream has changed to this protocol.
pub const UPGRADE: HeaderName = HeaderName::from_static("irp-upgrade");

/// Set by the edge on a request of the control connection whose visitor waits for `100 Continue`: a number, which
/// the client sends back as [`Continue`](crate::control::ClientMessage::Continue) when the body is wanted.
pub const CONTINUE: HeaderName = HeaderName::from_static("irp-continue");

/// Why a client has no answer of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing accepts connections there.
    Refused,
    /// It did not answer in time.
    TimedOut,
    /// It closed the connection, or did not speak HTTP.
    Broken,
    /// The request has gone through this tunnel before.
    Loop,
}

impl Failure {
    const WORDS: [(Self, &'static str); 4] = [
        (Self::Refused, "refused"),
        (Self::TimedOut, "timed-out"),
        (Self::Broken, "broken"),
        (Self::Loop, "loop"),
    ];

    /// The header value that carries this failure; `detail` loses what a header cannot hold.
    #[must_use]
    pub fn to_header(self, detail: &str) -> HeaderValue {
        let word =
            Self::WORDS.iter().find(|(failure, _)| *failure == self).map_or("broken", |(_, word)| word);
        let detail: String = detail.chars().filter(|c| (' '..='~').contains(c)).take(200).collect();
        HeaderValue::try_from(format!("{word}: {detail}")).unwrap_or(HeaderValue::from_static("broken"))
    }

    /// Reads the failure and its detail back.
    #[must_use]
    pub fn from_header(value: &HeaderValue) -> (Self, String) {
        let text = value.to_str().unwrap_or_default();
        // HTTP/1.1 takes the blank after the colon off where no detail follows.
        let (word, detail) = text.split_once(':').unwrap_or((text, ""));
        let failure = Self::WORDS.iter().find(|(_, known)| *known == word);
        (failure.map_or(Self::Broken, |(failure, _)| *failure), detail.trim_start().to_owned())
    }
}

/// What ends at a hop though nothing names it.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
];

fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
}

/// Removes what ends at this hop (RFC 9110, section 7.6.1): what `Connection` names, and the headers that
/// are hop-by-hop whether named or not. `Te` stays only as `trailers`, `Trailer` stays. `Content-Length` goes
/// with a `Transfer-Encoding` that overrides it (RFC 9112, section 6.3).
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Mostly there are none, and to ask for each of them costs more than a look at the few names that are there.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    // Looked at first: who sends `Te` must name it in `Connection` (RFC 9110, section 10.1.4).
    let te_trailers =
        headers.get_all(header::TE).iter().any(|value| members(value).any(|coding| coding == b"trailers"));
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(members)
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            // A visitor must not make us drop what says whom and where a request is for.
            .filter(|name| !matches!(*name, header::HOST | header::CONTENT_LENGTH | header::AUTHORIZATION))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
    if te_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// The members of a list (RFC 9110, section 5.6.1), as bytes: one that is no text does not hide the others.
fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Removes irp's own headers, also in the spelling with `_` that some frameworks merge with `-`.
pub fn remove_internal(headers: &mut HeaderMap) {
    if !headers.keys().any(is_internal) {
        return;
    }
    let internal: Vec<HeaderName> = headers.keys().filter(|name| is_internal(name)).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
}

fn is_internal(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    name.len() >= 4 && &name[..3] == b"irp" && matches!(name[3], b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn hop_by_hop_headers_and_what_connection_names_are_removed() {
        let mut headers = map(&[
            ("connection", "close, X-Mine, TE"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers, deflate"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("accept", "*/*"), ("te", "trailers")]));
    }

    #[test]
    fn a_length_that_chunks_override_is_removed() {
        let mut headers = map(&[("content-length", "3"), ("transfer-encoding", "chunked")]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, HeaderMap::new());
        let mut headers = map(&[("content-length", "3")]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("content-length", "3")]));
    }

    #[test]
    fn connection_cannot_remove_what_the_request_means() {
        let mut headers =
            map(&[("connection", "host, authorization"), ("host", "a"), ("authorization", "b")]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("host", "a"), ("authorization", "b")]));
    }

    #[test]
    fn what_is_no_text_in_connection_does_not_hide_the_rest() {
        let mut headers = map(&[("x-mine", "1"), ("accept", "*/*")]);
        headers.insert(header::CONNECTION, HeaderValue::from_bytes(b"\xff, x-mine").unwrap());
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("accept", "*/*")]));
    }

    #[test]
    fn internal_headers_are_removed_in_both_spellings() {
        let mut headers = map(&[("irp-failure", "x"), ("irp_verified", "slack"), ("irpish", "1")]);
        remove_internal(&mut headers);
        assert_eq!(headers, map(&[("irpish", "1")]));
    }

    #[test]
    fn a_failure_travels_in_a_header() {
        let value = Failure::Refused.to_header("127.0.0.1:3000\r\nx: y");
        assert_eq!(Failure::from_header(&value), (Failure::Refused, "127.0.0.1:3000x: y".into()));
        // As it arrives over HTTP/1.1, which takes blanks off the end.
        let silent = HeaderValue::from_static("timed-out:");
        assert_eq!(Failure::from_header(&silent), (Failure::TimedOut, String::new()));
        assert_eq!(Failure::from_header(&HeaderValue::from_static("?")).0, Failure::Broken);
    }
}
