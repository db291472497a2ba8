//! WebSocket and other upgrades: extended CONNECT (RFC 8441) or `Upgrade` in, `Upgrade` out.

use std::io;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::{
    body::Incoming,
    ext::Protocol,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use irp_wire::{
    headers::{STATUS, UPGRADE, remove_hop_by_hop, remove_internal},
    tasks::Tasks,
};

use super::{
    Forwarder,
    answer::{AnswerBody, Exchange},
    request::Speak,
};

/// The protocol that a request wants to become, if any.
pub(super) fn protocol<B>(request: &Request<B>) -> Option<HeaderValue> {
    if request.method() == Method::CONNECT {
        let named = request.extensions().get::<Protocol>();
        let named = named.and_then(|protocol| HeaderValue::from_str(protocol.as_str()).ok());
        return named.or_else(|| request.headers().get(UPGRADE).cloned());
    }
    // A lane is HTTP/1.1, where `Upgrade` itself can travel.
    let wants = request.headers().get(header::CONNECTION).and_then(|names| names.to_str().ok())?;
    let wants = wants.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    request.headers().get(header::UPGRADE).filter(|_| wants).cloned()
}

/// Asks the upstream to upgrade; if it does, copies both ways until both are done.
pub(super) async fn forward(
    forwarder: &Forwarder,
    tasks: &Tasks,
    mut request: Request<Incoming>,
    protocol: HeaderValue,
    mut exchange: Box<Exchange>,
) -> Response<AnswerBody> {
    let extended = request.method() == Method::CONNECT;
    let visitor = hyper::upgrade::on(&mut request);
    let (mut parts, _) = request.into_parts();
    if extended {
        parts.method = Method::GET;
    }
    remove_hop_by_hop(&mut parts.headers);
    forwarder.translate(&mut parts, Speak::Http1);
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(header::UPGRADE, protocol.clone());
    // Fresh extensions: the visitor's must not reach the other connection.
    parts.extensions = http::Extensions::new();

    let (mut response, lease) = match forwarder.upgrade(Request::from_parts(parts, ())).await {
        Ok(answered) => answered,
        Err(why) => return exchange.fail(&why),
    };
    exchange.answered(&response);
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        remove_hop_by_hop(response.headers_mut());
        remove_internal(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        if extended {
            let status = HeaderValue::from(response.status().as_u16());
            response.headers_mut().insert(STATUS, status);
            *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        }
        return response.map(|body| AnswerBody::upstream(body, Some(lease), None, exchange));
    }

    let upstream = hyper::upgrade::on(&mut response);
    exchange.upgraded();
    tasks.spawn(copy(visitor, upstream, exchange));
    let mut answer = Response::new(AnswerBody::empty());
    let switched = response.headers().get(header::UPGRADE).cloned();
    *answer.headers_mut() = std::mem::replace(response.headers_mut(), HeaderMap::new());
    remove_hop_by_hop(answer.headers_mut());
    remove_internal(answer.headers_mut());
    // A tunnel has no length, and HTTP/2 would take one at its word.
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    let switched = switched.unwrap_or(protocol);
    if extended {
        answer.headers_mut().insert(UPGRADE, switched);
    } else {
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        answer.headers_mut().insert(header::UPGRADE, switched);
    }
    answer
}

async fn copy(visitor: OnUpgrade, upstream: OnUpgrade, mut exchange: Box<Exchange>) {
    let copied = async {
        let (visitor, upstream) = tokio::try_join!(visitor, upstream).map_err(io::Error::other)?;
        let (mut visitor, mut upstream) = (TokioIo::<Upgraded>::new(visitor), TokioIo::new(upstream));
        tokio::io::copy_bidirectional(&mut visitor, &mut upstream).await
    };
    // An error is the end of one side; both are closed then, and there is nobody left to tell.
    if let Ok((_, outwards)) = copied.await {
        exchange.add_bytes(outwards);
    }
}
