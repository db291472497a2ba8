//! Requests that two readers could see differently: refused, or harmless before an origin that keeps every
//! byte and reads strictly.

use futures_util::future::join_all;
use irp_testkit::origin::RawOrigin;

use crate::stage::{NAME, Stage};

/// What each shape may do: be refused, or arrive as exactly one request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum May {
    Refused,
    Harmless,
}
use May::{Harmless, Refused};

const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// Head lines after `Host`, body, and what may happen.
const SHAPES: &[(&str, &str, &str, May)] = &[
    ("length and chunks", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nNEXT", Harmless),
    ("chunks and length", "Transfer-Encoding: chunked\r\nContent-Length: 200\r\n", "0\r\n\r\nNEXT", Harmless),
    ("two lengths", "Content-Length: 0\r\nContent-Length: 45\r\n", "NEXT", Refused),
    ("two lengths, other order", "Content-Length: 45\r\nContent-Length: 0\r\n", "NEXT", Refused),
    ("two lengths, the same", "Content-Length: 3\r\nContent-Length: 3\r\n", "abc", Harmless),
    ("list of lengths", "Content-Length: 3, 3\r\n", "abc", Refused),
    ("signed length", "Content-Length: +3\r\n", "abc", Refused),
    ("negative length", "Content-Length: -3\r\n", "abc", Refused),
    ("hex length", "Content-Length: 0x3\r\n", "abc", Refused),
    ("spaced length", "Content-Length: 3 3\r\n", "abc", Refused),
    ("empty length", "Content-Length: \r\n", "", Refused),
    ("huge length", "Content-Length: 99999999999999999999\r\n", "", Refused),
    ("space before colon", "Content-Length : 54\r\n", "NEXT", Refused),
    ("space before colon of chunks", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n", Refused),
    ("folded line", "X-A: b\r\n c\r\n", "", Refused),
    ("folded chunks", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n", Refused),
    ("unknown coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", Refused),
    ("chunks and then not", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n", Refused),
    ("coding before chunks", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", Refused),
    ("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", Refused),
    (
        "chunks and identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    ("vertical tab in coding", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n", Refused),
    ("quoted coding", "Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n", Refused),
    ("upper case coding", "TRANSFER-ENCODING: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n", Harmless),
    ("tab before coding", "Transfer-Encoding:\tchunked\r\n", "3\r\nabc\r\n0\r\n\r\n", Harmless),
    ("NUL in a value", "X-A: b\0c\r\n", "", Refused),
    ("NUL in a name", "X\0A: b\r\n", "", Refused),
    ("bare CR in a value", "X-A: b\rX-B: c\r\n", "", Refused),
    ("bare LF", "X-A: b\nX-B: c\n", "", Harmless),
    ("a name of another alphabet", "X(A): b\r\n", "", Refused),
    ("no colon", "X-A\r\n", "", Refused),
    ("no name", ": b\r\n", "", Refused),
    ("two hosts", "Host: app.example\r\n", "", Refused),
    ("chunk size with sign", "Transfer-Encoding: chunked\r\n", "+3\r\nabc\r\n0\r\n\r\n", Refused),
    ("chunk size in C", "Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n", Refused),
    (
        "chunk size too big",
        "Transfer-Encoding: chunked\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    ("chunk longer than said", "Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n", Refused),
    ("chunk ends in LF", "Transfer-Encoding: chunked\r\n", "3\nabc\n0\n\n", Refused),
    ("chunk extension", "Transfer-Encoding: chunked\r\n", "3;a=b\r\nabc\r\n0\r\n\r\n", Harmless),
    ("chunk extension with LF", "Transfer-Encoding: chunked\r\n", "3;a\nabc\r\n0\r\n\r\n", Refused),
    (
        "trailers",
        "Transfer-Encoding: chunked\r\nTrailer: irp-x\r\n",
        "0\r\nirp-x: 1\r\nContent-Length: 9\r\n\r\n",
        Harmless,
    ),
    ("body of a GET", "Content-Length: 45\r\n", "NEXT", Harmless),
    (
        "next request named as a header",
        "Connection: Content-Length\r\nContent-Length: 45\r\n",
        "NEXT",
        Harmless,
    ),
    (
        "upgrade to h2c",
        "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "",
        Harmless,
    ),
];

#[tokio::test]
async fn every_shape_is_refused_or_harmless() {
    let cases = SHAPES.iter().map(|(name, head, body, may)| async move {
        let line = if *name == "body of a GET" { "GET" } else { "POST" };
        let body = body.replace("NEXT", NEXT);
        let request = format!("{line} /first HTTP/1.1\r\nHost: {NAME}\r\n{head}\r\n{body}");
        judge(name, &request, *may).await
    });
    let wrong: Vec<String> = join_all(cases).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn every_request_line_is_refused_or_harmless() {
    let lines: &[(&str, &str, &str, May)] = &[
        ("other host in the target", "GET http://other.example/first HTTP/1.1", "Host: app.example", Refused),
        ("same host in the target", "GET http://app.example/first HTTP/1.1", "Host: app.example", Harmless),
        ("no host", "GET /first HTTP/1.1", "X-A: b", Refused),
        ("a path as host", "GET /first HTTP/1.1", "Host: app.example/x", Refused),
        ("a list as host", "GET /first HTTP/1.1", "Host: app.example, other.example", Refused),
        ("userinfo as host", "GET /first HTTP/1.1", "Host: other@app.example", Refused),
        ("two spaces", "GET  /first HTTP/1.1", "Host: app.example", Refused),
        ("a tab", "GET\t/first\tHTTP/1.1", "Host: app.example", Refused),
        ("a space in the target", "GET /first x HTTP/1.1", "Host: app.example", Refused),
        ("a lower-case version", "GET /first http/1.1", "Host: app.example", Refused),
        ("version 1.2", "GET /first HTTP/1.2", "Host: app.example", Refused),
        ("version 2", "GET /first HTTP/2.0", "Host: app.example", Refused),
        ("no version", "GET /first", "Host: app.example", Refused),
        ("a bracket in the method", "G(T /first HTTP/1.1", "Host: app.example", Refused),
        ("chunks in 1.0", "POST /first HTTP/1.0", "Host: app.example\r\nTransfer-Encoding: chunked", Refused),
        ("an empty line before", "\r\nGET /first HTTP/1.1", "Host: app.example", Harmless),
    ];
    let cases = lines.iter().map(|(name, line, host, may)| async move {
        judge(name, &format!("{line}\r\n{host}\r\n\r\n"), *may).await
    });
    let wrong: Vec<String> = join_all(cases).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Sends `request` and then one honest request on the same connection; says what went wrong.
async fn judge(name: &str, request: &str, may: May) -> Option<String> {
    let origin = RawOrigin::ok();
    let stage = Stage::with(origin.address()).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(request).await.unwrap();
    let status = wire.response().await.map(|reply| reply.status);
    let arrived = match origin.requests() {
        Ok(arrived) => arrived,
        // A body that turns out to be malformed midway was cut off, which the origin sees as such.
        Err(error) if may == Refused && matches!(status, Ok(400)) => {
            let bytes = origin.bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let cut = text.starts_with("POST /first") && text.matches("HTTP/1.1").count() == 1;
            return (!cut).then(|| format!("{name}: {error}: {text}"));
        }
        Err(error) => return Some(format!("{name}: {error}")),
    };
    // hyper serves a pipelined `NEXT` as what it is, a request of its own; then it is the first that is
    // complete, and the origin must see both as two.
    let lines: Vec<&str> = arrived.iter().map(|request| request.line.as_str()).collect();
    let internal = arrived
        .iter()
        .any(|request| request.headers.iter().any(|(name, _)| name.to_lowercase().starts_with("irp-")));
    let fine = match may {
        Refused => matches!(status, Ok(400 | 501)) && lines.is_empty(),
        Harmless => matches!(status, Ok(200)) && lines.len() == 1 && lines[0].contains("/first") && !internal,
    };
    (!fine).then(|| format!("{name}: {status:?}, arrived: {lines:?}"))
}
