//! Upgrades over HTTP/2: `Upgrade` (RFC 9110, section 7.8) becomes extended CONNECT (RFC 8441), and back.
//!
//! The visitor's headers travel unchanged, `Sec-WebSocket-Key` too, so the upstream's `Sec-WebSocket-Accept`
//! answers the visitor and nobody in between has to understand the protocol.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::ext::Protocol;
use irp_wire::headers::{STATUS, UPGRADE};

use super::absolute::into_absolute;
use crate::{
    http::body::{RequestBody, TunnelBody},
    tunnels::{SendError, Unsent},
};

/// The protocol that a request asks to change to.
pub(super) fn wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::UPGRADE).cloned()
}

/// Turns `GET` with `Upgrade: protocol` into extended CONNECT.
pub(super) fn to_extended_connect(
    mut request: Box<Request<RequestBody>>,
    protocol: &HeaderValue,
) -> Result<Box<Request<RequestBody>>, Unsent> {
    let Ok(word) = protocol.to_str() else {
        return Err(SendError::Unsuited("the upgrade's name is malformed").with_request(request));
    };
    let word = Protocol::from(word);
    let headers = request.headers_mut();
    headers.remove(header::UPGRADE);
    headers.remove(header::CONNECTION);
    headers.insert(UPGRADE, protocol.clone());
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(word);
    into_absolute(request)
}

/// Turns the client's answer back: with the upgrade's name, the change has happened; else the upstream
/// declined, and its true status stands in a header, since every 2xx would mean a change here.
pub(super) fn from_extended_connect(mut response: Response<TunnelBody>) -> Response<TunnelBody> {
    let protocol = response.headers_mut().remove(UPGRADE);
    let status = response.headers_mut().remove(STATUS);
    if let Some(protocol) = protocol.filter(|_| response.status().is_success()) {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, protocol);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else if let Some(status) = status.and_then(|status| StatusCode::from_bytes(status.as_bytes()).ok()) {
        *response.status_mut() = status;
    }
    response
}
