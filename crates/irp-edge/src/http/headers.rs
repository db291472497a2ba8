//! The header rules of the edge, pure: which requests are refused for their shape, and what changes on the
//! way in and out.
//!
//! hyper refuses most of what smuggles: folded lines, spaces in names, NUL and bare CR, lengths that differ
//! or are no number, chunks that are none. Of `Content-Length` beside `Transfer-Encoding` it keeps the
//! latter and closes the connection afterwards. Every message is written anew towards the upstream, so no
//! byte of framing passes through. Here is the rest.

use std::{borrow::Cow, ops::Range};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{self, Entry},
    request, uri,
};
use irp_wire::headers::{remove_hop_by_hop, remove_internal};

use super::forwarding;

/// RFC 8586: names every edge that a request has passed, and upstreams leave it alone.
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// How many header fields a request may have. hyper reads 100 without asking for memory, here as at the other
/// end of a lane, and the edge adds some of its own.
pub(super) const FIELDS_MAX: usize = 90;

/// Why a request is refused for its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// HTTP/1.1 wants exactly one (RFC 9112, section 3.2).
    #[error("there must be exactly one Host")]
    HostCount,
    /// It is no host name or address with an optional port.
    #[error("Host is no host")]
    Host,
    /// The target or `:authority` names another host than `Host`.
    #[error("the target and Host name different hosts")]
    HostDiffers,
    /// The target is of a form that no origin server has.
    #[error("the target is not for an origin server")]
    Target,
    /// Anything but `chunked` alone (RFC 9112, section 6.1).
    #[error("Transfer-Encoding is not chunked alone")]
    TransferEncoding,
    /// An upgrade request with a body.
    #[error("an upgrade request cannot have a body")]
    UpgradeBody,
}

/// Whom a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The value of `Host` as the visitor wrote it.
    pub(super) host: HeaderValue,
    /// Where in it the name stands.
    name: Range<usize>,
}

impl Target {
    /// Reads it from the request, and refuses what is ambiguous.
    pub(super) fn of(request: &request::Parts) -> Result<Self, Malformed> {
        check_transfer_encoding(&request.headers)?;
        check_form(&request.method, &request.uri)?;
        let mut hosts = request.headers.get_all(header::HOST).iter();
        let (host, second) = (hosts.next(), hosts.next());
        if second.is_some() {
            return Err(Malformed::HostCount);
        }
        let host = match (host, request.uri.authority()) {
            (Some(host), None) => host.clone(),
            (Some(host), Some(authority)) => {
                if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) {
                    return Err(Malformed::HostDiffers);
                }
                host.clone()
            }
            (None, Some(authority)) if request.version == Version::HTTP_2 => {
                HeaderValue::try_from(authority.as_str()).map_err(|_| Malformed::Host)?
            }
            (None, _) => return Err(Malformed::HostCount),
        };
        let name = name_in(host.to_str().map_err(|_| Malformed::Host)?).ok_or(Malformed::Host)?;
        Ok(Self { host, name })
    }

    /// The name or address alone: in lower case, without port, brackets or final dot.
    pub(super) fn name(&self) -> Cow<'_, str> {
        let name = self.host.to_str().ok().and_then(|host| host.get(self.name.clone())).unwrap_or_default();
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        }
    }
}

/// Where the name or address stands in the text of a `Host`, if that is one.
fn name_in(text: &str) -> Option<Range<usize>> {
    let bracketed = text.starts_with('[');
    let (start, end, port) = if bracketed {
        let end = text.find(']')?;
        (1, end, &text[end + 1..])
    } else {
        let end = text.find(':').unwrap_or(text.len());
        (0, end, &text[end..])
    };
    if !port.is_empty() {
        let digits = port.strip_prefix(':')?;
        if digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') || (bracketed && byte == b':')
    };
    let name = &text[start..end];
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty() && name.bytes().all(allowed)).then_some(start..start + name.len())
}

fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Malformed::TransferEncoding),
    }
}

fn check_form(method: &Method, uri: &Uri) -> Result<(), Malformed> {
    let known_scheme = |scheme: &uri::Scheme| *scheme == uri::Scheme::HTTP || *scheme == uri::Scheme::HTTPS;
    let path = uri.path();
    let form_is_known = match (uri.scheme(), uri.authority()) {
        (None, None) => path.starts_with('/') || (path == "*" && *method == Method::OPTIONS),
        // Absolute form, and what HTTP/2 makes of its pseudo-headers.
        (Some(scheme), Some(authority)) => known_scheme(scheme) && !authority.as_str().contains('@'),
        _ => false,
    };
    if form_is_known { Ok(()) } else { Err(Malformed::Target) }
}

/// The target in origin form: path and query, or `*`.
pub(super) fn origin_form(uri: &Uri) -> Uri {
    if uri.authority().is_none() {
        return uri.clone();
    }
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(match uri.path_and_query() {
        // One of which nothing but a fragment was there reads as `/` and yet prints as nothing.
        Some(path) if path.as_str() != "/" => path.clone(),
        _ => uri::PathAndQuery::from_static("/"),
    });
    Uri::from_parts(parts).unwrap_or_default()
}

/// The protocol that an HTTP/1.1 visitor wants to change to, where that is more than a wish: `h2c` can be
/// declined (RFC 9110, section 7.8).
pub(super) fn upgrade(request: &request::Parts) -> Option<HeaderValue> {
    if request.version != Version::HTTP_11 {
        return None;
    }
    let protocol = request.headers.get(header::UPGRADE)?;
    let is_named = request.headers.get_all(header::CONNECTION).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")))
    });
    let is_h2c = protocol.as_bytes().len() >= 3 && protocol.as_bytes()[..3].eq_ignore_ascii_case(b"h2c");
    (is_named && !is_h2c).then(|| protocol.clone())
}

/// Whether the request has passed the edge with this mark before.
pub(super) fn has_passed(headers: &HeaderMap, mark: &str) -> bool {
    headers
        .get_all(CDN_LOOP)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.split(',').any(|id| id.trim() == mark)))
}

/// Adds the mark of this edge.
pub(super) fn mark(headers: &mut HeaderMap, mark: &HeaderValue) {
    headers.append(CDN_LOOP, mark.clone());
}

/// HTTP/2 may cut cookies into several fields, HTTP/1.1 may not, and behind the edge comes HTTP/1.1 (RFC 9113,
/// section 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let Entry::Occupied(mut cookies) = headers.entry(header::COOKIE) else {
        return;
    };
    if cookies.iter().nth(1).is_none() {
        return;
    }
    let joined = cookies.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        cookies.insert(joined);
    }
}

/// What every request loses at this hop. An upgrade keeps its two headers, since that hop is the tunnel's.
pub(super) fn clean_request(headers: &mut HeaderMap, upgrade: Option<HeaderValue>) {
    remove_hop_by_hop(headers);
    remove_internal(headers);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// What the trailers of a request lose: many programs merge them with the headers, so they must not say what
/// headers may not.
pub(super) fn clean_request_trailers(trailers: &mut HeaderMap) {
    clean_request(trailers, None);
    forwarding::remove_claims(trailers);
    for name in [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, CDN_LOOP] {
        trailers.remove(name);
    }
}

/// What every answer loses at this hop.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    remove_internal(headers);
}

/// Puts back what an answer with status 101 says to the visitor.
pub(super) fn restore_upgrade(headers: &mut HeaderMap, protocol: Option<HeaderValue>) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn parts(method: &str, uri: &str, version: Version, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn target(uri: &str, headers: &[(&str, &str)]) -> Result<String, Malformed> {
        Target::of(&parts("GET", uri, Version::HTTP_11, headers)).map(|target| target.name().into_owned())
    }

    #[test]
    fn the_name_is_read_from_host() {
        for (host, name) in [
            ("a.example", "a.example"),
            ("A.Example.:8443", "a.example"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:443", "::1"),
            ("a_b", "a_b"),
            // RFC 3986, section 3.2.3: a port may be empty.
            ("a:", "a"),
        ] {
            assert_eq!(target("/", &[("host", host)]).as_deref(), Ok(name), "{host}");
        }
    }

    #[test]
    fn hosts_that_are_none_are_refused() {
        for host in [
            "", ".", ":80", "a b", "a,b", "a@b", "a/b", "a:80:80", "a:x", "a:123456", "[::1", "[::1]x",
            "a:b@c",
        ] {
            assert_eq!(target("/", &[("host", host)]), Err(Malformed::Host), "{host}");
        }
        assert_eq!(target("/", &[]), Err(Malformed::HostCount));
        assert_eq!(target("/", &[("host", "a"), ("host", "a")]), Err(Malformed::HostCount));
    }

    #[test]
    fn absolute_form_must_agree_with_host() {
        assert_eq!(target("http://A.example/x", &[("host", "a.example")]), Ok("a.example".into()));
        assert_eq!(target("http://b.example/", &[("host", "a.example")]), Err(Malformed::HostDiffers));
        assert_eq!(target("http://a.example/", &[]), Err(Malformed::HostCount));
        assert_eq!(target("ftp://a.example/", &[("host", "a.example")]), Err(Malformed::Target));
        assert_eq!(target("http://u@a.example/", &[("host", "u@a.example")]), Err(Malformed::Target));
        assert_eq!(target("*", &[("host", "a.example")]), Err(Malformed::Target));
        let star = parts("OPTIONS", "*", Version::HTTP_11, &[("host", "a.example")]);
        assert!(Target::of(&star).is_ok());
        assert_eq!(origin_form(&star.uri), "*");
        assert_eq!(origin_form(&"http://a.example?x=1".parse().unwrap()), "/?x=1");
        assert_eq!(origin_form(&"http://a.example#x".parse().unwrap()).to_string(), "/");
        assert_eq!(origin_form(&"/a//b?c".parse().unwrap()), "/a//b?c");
    }

    #[test]
    fn http2_may_leave_host_out_but_not_contradict_itself() {
        let h2 = |headers: &[(&str, &str)]| {
            Target::of(&parts("GET", "https://a.example:444/x", Version::HTTP_2, headers))
        };
        assert_eq!(h2(&[]).unwrap().host, "a.example:444");
        assert!(h2(&[("host", "a.example:444")]).is_ok());
        assert_eq!(h2(&[("host", "b.example")]), Err(Malformed::HostDiffers));
    }

    #[test]
    fn only_chunked_alone_passes() {
        for (codings, passes) in [
            (&["chunked"][..], true),
            (&["Chunked"], true),
            (&["xchunked"], false),
            (&["chunked, chunked"], false),
            (&["gzip, chunked"], false),
            (&["chunked", "chunked"], false),
            (&["identity"], false),
            (&[""], false),
        ] {
            let mut headers = vec![("host", "a")];
            headers.extend(codings.iter().map(|coding| ("transfer-encoding", *coding)));
            let expected = if passes { Ok("a".into()) } else { Err(Malformed::TransferEncoding) };
            assert_eq!(target("/", &headers), expected, "{codings:?}");
        }
    }

    #[test]
    fn an_upgrade_is_one_when_both_headers_say_so() {
        let of = |version, headers: &[(&str, &str)]| upgrade(&parts("GET", "/", version, headers));
        let both = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert_eq!(of(Version::HTTP_11, &both), Some(HeaderValue::from_static("websocket")));
        assert_eq!(of(Version::HTTP_10, &both), None);
        assert_eq!(of(Version::HTTP_11, &both[1..]), None);
        assert_eq!(of(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "h2c")]), None);
    }

    #[test]
    fn a_mark_is_found_again() {
        let mut headers = HeaderMap::new();
        headers.insert(CDN_LOOP, HeaderValue::from_static("other; v=1, irp-1"));
        assert!(!has_passed(&headers, "irp-2"));
        mark(&mut headers, &HeaderValue::from_static("irp-2"));
        assert!(has_passed(&headers, "irp-1") && has_passed(&headers, "irp-2"));
    }

    proptest! {
        /// Whatever a visitor sends, nothing of the hop, of irp or of a second meaning goes on.
        #[test]
        fn nothing_of_the_hop_goes_on(
            pairs in prop::collection::vec(("[a-zA-Z_-]{1,12}|connection|te|transfer-encoding|upgrade|irp-x|IRP_y|keep-alive", "[ -~]{0,24}|close, te, x-a|upgrade"), 0..12),
            wants in any::<bool>(),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in &pairs {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                    headers.append(name, value);
                }
            }
            clean_request(&mut headers, wants.then(|| HeaderValue::from_static("websocket")));
            for name in headers.keys() {
                prop_assert!(!name.as_str().starts_with("irp-") && !name.as_str().starts_with("irp_"), "{name}");
                prop_assert!(!["keep-alive", "transfer-encoding", "proxy-connection"].contains(&name.as_str()));
            }
            prop_assert_eq!(headers.contains_key(header::CONNECTION), wants);
            prop_assert_eq!(headers.contains_key(header::UPGRADE), wants);
            prop_assert!(headers.get(header::TE).is_none_or(|te| te == "trailers"));
        }

        /// A name is only ever found where the whole of `Host` is one host, and it never holds what could
        /// be read as something else.
        #[test]
        fn names_are_plain(host in "[ -~]{0,30}|[a-z.]{1,9}:[0-9]{0,6}") {
            if let Ok(name) = target("/", &[("host", &host)]) {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:".contains(&b);
                prop_assert!(!name.is_empty() && name.bytes().all(plain), "{}", name);
                prop_assert!(host.to_ascii_lowercase().contains(&name));
            }
        }
    }
}
