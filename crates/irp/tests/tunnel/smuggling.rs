//! Requests that two readers could see differently: refused, or harmless before a program that keeps every
//! byte and reads strictly. The edge's own tests have the whole corpus; here is what the tunnel could undo.

use futures_util::future::join_all;
use irp_testkit::origin::{RawOrigin, frame_requests};

use crate::{
    stage::NAME,
    way::{Tunnel, Way},
};

/// What each shape may do: be refused, or arrive as exactly one request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum May {
    Refused,
    Harmless,
}
use May::{Harmless, Refused};

const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: alice.localhost\r\n\r\n";

/// Head lines after `Host`, body, and what may happen.
const SHAPES: &[(&str, &str, May)] = &[
    ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nNEXT", Harmless),
    ("Transfer-Encoding: chunked\r\nContent-Length: 200\r\n", "0\r\n\r\nNEXT", Harmless),
    ("Content-Length: 0\r\nContent-Length: 49\r\n", "NEXT", Refused),
    ("Content-Length: +3\r\n", "abc", Refused),
    ("Content-Length : 49\r\n", "NEXT", Refused),
    ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", Refused),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n", Refused),
    ("X-A: b\r\n c\r\n", "", Refused),
    ("X-A: b\rX-B: c\r\n", "", Refused),
    ("X-A: b\0c\r\n", "", Refused),
    ("Transfer-Encoding: chunked\r\n", "+3\r\nabc\r\n0\r\n\r\n", Refused),
    ("Transfer-Encoding: chunked\r\n", "3;a=b\r\nabc\r\n0\r\n\r\n", Harmless),
    ("Transfer-Encoding: chunked\r\n", "0\r\nirp-x: 1\r\nContent-Length: 9\r\n\r\n", Harmless),
    ("Connection: Content-Length\r\nContent-Length: 49\r\n", "NEXT", Harmless),
    ("Connection: Host\r\n", "", Harmless),
    ("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", "", Harmless),
];

#[tokio::test]
async fn over_http2_every_shape_is_refused_or_harmless() {
    every_shape(Way::Http2).await;
}

#[tokio::test]
async fn over_lanes_every_shape_is_refused_or_harmless() {
    every_shape(Way::Lanes).await;
}

async fn every_shape(way: Way) {
    let cases = SHAPES.iter().map(|(head, body, may)| judge(way, head, body, *may));
    let wrong: Vec<String> = join_all(cases).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{way:?}: {wrong:#?}");
}

/// Sends the shape, and then one honest request on another connection; says what went wrong.
async fn judge(way: Way, head: &str, body: &str, may: May) -> Option<String> {
    let origin = RawOrigin::ok();
    let tunnel = Tunnel::open(way, origin.address()).await;
    let mut wire = tunnel.stage.door().connect().await.unwrap();
    let body = body.replace("NEXT", NEXT);
    wire.send(format!("POST /first HTTP/1.1\r\nHost: {NAME}\r\n{head}\r\n{body}")).await.unwrap();
    let status = wire.response().await.map(|reply| reply.status);
    let lines = match whole_requests(&origin, may) {
        Ok(lines) => lines,
        Err(error) => return Some(format!("{head:?}: {error}")),
    };
    let internal = String::from_utf8_lossy(&origin.bytes()).to_lowercase().contains("irp-x");
    let fine = match may {
        Refused => matches!(status, Ok(400 | 501)) && lines.is_empty(),
        Harmless => matches!(status, Ok(200)) && lines.len() == 1 && lines[0].contains("/first") && !internal,
    };
    if !fine {
        return Some(format!("{head:?}: {status:?}, arrived: {lines:?}"));
    }
    // What is left of it must not become part of another visitor's request.
    let mut honest = tunnel.stage.door().connect().await.unwrap();
    honest.send(format!("GET /honest HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
    let status = honest.response().await.map(|reply| reply.status);
    let lines = whole_requests(&origin, may);
    let last = lines.as_ref().ok().and_then(|lines| lines.last());
    let fine = matches!(status, Ok(200)) && last.is_some_and(|last| last == "GET /honest HTTP/1.1");
    tunnel.close().await;
    (!fine).then(|| format!("{head:?}: the next visitor got {status:?}, arrived: {lines:?}"))
}

/// The lines of the requests that the program got whole.
///
/// A body that turns out malformed midway was cut off together with its connection: the head may have arrived by
/// then, or arrive later, and nothing may follow it.
fn whole_requests(origin: &RawOrigin, may: May) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for bytes in origin.connections() {
        match frame_requests(&bytes) {
            Ok(requests) => lines.extend(requests.into_iter().map(|request| request.line)),
            Err(error) => {
                let text = String::from_utf8_lossy(&bytes);
                if may != Refused || !text.starts_with("POST /first") || text.matches("HTTP/1.1").count() != 1
                {
                    return Err(format!("{error}: {text}"));
                }
            }
        }
    }
    Ok(lines)
}
