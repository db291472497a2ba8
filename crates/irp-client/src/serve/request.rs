//! From the edge's request to the upstream's: pure header work.

use http::{HeaderMap, HeaderValue, Request, Uri, Version, header, request::Parts};
use irp_wire::{
    headers::{CONTINUE, FAILURE, UPGRADE},
    policy::WEBHOOK,
};

use crate::HostHeader;

/// How the upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speak {
    Http1,
    Http2,
}

/// Turns the head of a request that came through the tunnel into the one for the upstream.
///
/// `own_host` is the upstream's name for itself, `secure` says whether it is reached by TLS.
pub(super) fn for_upstream(
    parts: &mut Parts,
    speak: Speak,
    choice: &HostHeader,
    own_host: &HeaderValue,
    secure: bool,
) {
    let visitors = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    let visitors = visitors.or_else(|| parts.headers.get(header::HOST).cloned());
    let host = match choice {
        HostHeader::Preserve => visitors.unwrap_or_else(|| own_host.clone()),
        HostHeader::Rewrite => own_host.clone(),
        HostHeader::Fixed(host) => host.clone(),
    };
    remove_internal(&mut parts.headers);
    match speak {
        Speak::Http1 => {
            parts.version = Version::HTTP_11;
            // On a lane it is in origin form already.
            if parts.uri.scheme().is_some() || parts.uri.authority().is_some() {
                let path = parts.uri.path_and_query().cloned();
                parts.uri = path.map_or_else(Uri::default, Uri::from);
            }
            // Some programs send trailers only to those who ask. It speaks of this hop alone (RFC 9110, section
            // 10.1.4), so `Connection` names it.
            if parts.headers.contains_key(header::TE) {
                parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
                parts.headers.insert(header::CONNECTION, HeaderValue::from_static("TE"));
            }
            parts.headers.insert(header::HOST, host);
        }
        Speak::Http2 => {
            parts.version = Version::HTTP_2;
            parts.headers.remove(header::HOST);
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            parts.uri = Uri::builder()
                .scheme(if secure { "https" } else { "http" })
                .authority(host.as_bytes())
                .path_and_query(path)
                .build()
                .unwrap_or_default();
        }
    }
}

/// Removes the headers by which edge and client talk to each other. The only place that decides this for
/// requests: an edge's later headers for the upstream itself stay.
fn remove_internal(headers: &mut HeaderMap) {
    for name in [UPGRADE, FAILURE, CONTINUE, WEBHOOK] {
        // Mostly it is not there, and the few names are looked through sooner than it is hashed.
        if headers.keys().any(|present| *present == name) {
            headers.remove(name);
        }
    }
}

/// Whether a request is gRPC, which needs HTTP/2 on every leg. gRPC-Web does not.
pub(super) fn is_grpc<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'+' | b';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn translated(choice: &HostHeader, speak: Speak) -> Parts {
        let headers = [
            ("te", "trailers"),
            ("irp-upgrade", "websocket"),
            ("irp-failure", "refused"),
            ("irp-continue", "7"),
            ("irp-verified", "slack"),
            ("irp-webhook", "{}"),
        ];
        let mut parts = head("https://alice.example/a%20b?c=%2F", &headers);
        let own = HeaderValue::from_static("localhost:3000");
        for_upstream(&mut parts, speak, choice, &own, false);
        parts
    }

    #[test]
    fn http1_gets_origin_form_and_the_chosen_host() {
        let parts = translated(&HostHeader::Preserve, Speak::Http1);
        assert_eq!(parts.uri, "/a%20b?c=%2F");
        assert_eq!(parts.headers[header::HOST], "alice.example");
        assert_eq!(parts.headers[header::TE], "trailers");
        assert_eq!(parts.headers[header::CONNECTION], "TE");
        assert!(!parts.headers.contains_key("irp-upgrade") && !parts.headers.contains_key("irp-failure"));
        assert!(!parts.headers.contains_key("irp-continue"));
        assert_eq!(parts.headers["irp-verified"], "slack");
        assert!(!parts.headers.contains_key("irp-webhook"));

        let rewritten = translated(&HostHeader::Rewrite, Speak::Http1);
        assert_eq!(rewritten.headers[header::HOST], "localhost:3000");
        let fixed = HostHeader::Fixed(HeaderValue::from_static("app.test"));
        assert_eq!(translated(&fixed, Speak::Http1).headers[header::HOST], "app.test");
    }

    #[test]
    fn http2_gets_an_authority_and_keeps_te() {
        let parts = translated(&HostHeader::Preserve, Speak::Http2);
        assert_eq!(parts.uri, "http://alice.example/a%20b?c=%2F");
        assert!(!parts.headers.contains_key(header::HOST));
        assert_eq!(parts.headers[header::TE], "trailers");
    }

    #[test]
    fn grpc_is_told_from_grpc_web() {
        let grpc = |kind| is_grpc(&Request::post("/").header("content-type", kind).body(()).unwrap());
        assert!(grpc("application/grpc") && grpc("application/grpc+proto") && grpc("application/grpc;x=1"));
        assert!(!grpc("application/grpc-web") && !grpc("application/json"));
    }
}
