//! The friendly program: [`Origin`].
//!
//! | path | answer |
//! |---|---|
//! | `/bytes/N` | N bytes of [`pattern`], with `Content-Length`; `?chunked` without |
//! | `/stall/N` | N bytes of pattern of an answer that never goes on |
//! | `/upload` | [`Uploaded`]: length and SHA-256 of the body, taken in constant memory |
//! | `/mirror` | the body itself, sent back while it still comes in |
//! | `/slow/MS` | 200 after that many milliseconds |
//! | `/sse?count=N&interval=MS` | N server-sent events (default 3), `data: 0` at once and one more every MS (default 0) |
//! | `/status/CODE` | that status; 204 and 304 without a body |
//! | `/refuse/CODE` | that status, without reading the body: for `Expect: 100-continue` no 100 is sent |
//! | `/headers?NAME=VALUE&…` | these header fields in the answer, repeated ones too (no percent decoding) |
//! | `/trailers` | `hello`, then the trailer field `x-checksum: 5d41402a`; HTTP/1.1 sends it to those who say `TE: trailers` |
//! | `/ws` | a WebSocket echo, see below |
//! | anything else | [`Echoed`]: the request as JSON; HTTP/1.1 sends 100 first to those who expect it |
//!
//! HEAD is answered like GET, with its `Content-Length` and no body.
//!
//! The WebSocket takes the first subprotocol offered and sends every text and binary message back; to `ping` it
//! sends a ping with the payload `irp`, and to `close CODE` it closes with that code.

use std::{collections::HashMap, convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{
    body::{AnyBody, Watched, hex, nothing, pattern, unsized_pattern, whole},
    counters::{Counters, Visit},
    server::{Bind, Server},
    websocket,
};

/// How much of an echoed body is echoed itself; beyond, its hash must do.
const ECHOED_BODY: usize = 64 * 1024;

/// A running program; see the [module](self) for its routes.
#[derive(Debug)]
pub struct Origin {
    server: Server,
    counters: Arc<Counters>,
}

/// How an [`Origin`] listens.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where; by default a free port of 127.0.0.1.
    pub bind: Bind,
    /// What it speaks; by default HTTP/1.1.
    pub protocol: Protocol,
    /// TLS in front, for instance of [`crate::authority::Authority::server`]; by default none.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// What an [`Origin`] speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with keep-alive.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge: without TLS this is h2c.
    Http2,
}

/// The request as the echo route got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echoed {
    /// The method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query, when there is a `?`.
    pub query: Option<String>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The `:authority` or absolute form of the target, when there is one.
    pub authority: Option<String>,
    /// Name and value of each field, names in lower case, in the order received, but for a repeated name, whose
    /// fields stand together; [`super::RawOrigin`] shows the very bytes.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub length: u64,
    /// SHA-256 of the body, in hexadecimal.
    pub sha256: String,
    /// The body when it is at most 64 KiB of UTF-8.
    pub body: Option<String>,
}

impl Echoed {
    /// The values of all fields of this name (in lower case).
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// What `/upload` got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// Bytes of the body.
    pub length: u64,
    /// SHA-256 of the body, in hexadecimal.
    pub sha256: String,
}

impl Origin {
    /// Starts one that speaks HTTP/1.1 on a free port.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Options::default()).unwrap()
    }

    /// Starts one that speaks HTTP/2 with prior knowledge on a free port.
    #[must_use]
    pub fn start_h2c() -> Self {
        Self::with(Options { protocol: Protocol::Http2, ..Options::default() }).unwrap()
    }

    /// Starts one as told, for instance at the address of another that is gone.
    ///
    /// # Errors
    ///
    /// When the place is taken.
    pub fn with(options: Options) -> io::Result<Self> {
        let Options { bind, protocol, tls } = options;
        let counters = Arc::new(Counters::default());
        let shared = counters.clone();
        let tls = tls.map(TlsAcceptor::from);
        let server = Server::start(bind, move |socket| {
            let (counters, tls) = (shared.clone(), tls.clone());
            counters.connected();
            async move {
                match tls {
                    None => serve(socket, protocol, counters).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(socket).await {
                            serve(stream, protocol, counters).await;
                        }
                    }
                }
            }
        })?;
        Ok(Self { server, counters })
    }

    /// Where it listens.
    ///
    /// # Panics
    ///
    /// When it listens at a path.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The port it listens at.
    ///
    /// # Panics
    ///
    /// When it listens at a path.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

async fn serve<S>(stream: S, protocol: Protocol, counters: Arc<Counters>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let counters = counters.clone();
        async move { Ok::<_, Infallible>(answer(request, &counters).await) }
    });
    let stream = TokioIo::new(stream);
    // How a connection ends is for the counters to tell.
    let _ = match protocol {
        Protocol::Http1 => {
            hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(stream, service)
                .with_upgrades()
                .await
        }
        Protocol::Http2 => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(4096)
                .serve_connection(stream, service)
                .await
        }
    };
}

async fn answer(request: Request<Incoming>, counters: &Arc<Counters>) -> Response<Watched> {
    let mut visit = Visit::begin(counters, request.headers());
    let head = request.method() == Method::HEAD;
    if request.uri().path() == "/ws" {
        let (response, task) = websocket::accept(request);
        match task {
            // The visit lasts as long as the conversation; the answer gets one that no counter sees.
            Some(task) => {
                tokio::spawn(async move {
                    task.await;
                    visit.finish();
                });
                let unseen = Visit::begin(&Arc::default(), &HeaderMap::new());
                return response.map(|body| Watched::new(body, unseen));
            }
            None => return response.map(|body| Watched::new(body, visit)),
        }
    }
    let mut response = route(request, counters).await.unwrap_or_else(|error| {
        let status = if error.kind() == io::ErrorKind::InvalidInput {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::BAD_REQUEST
        };
        text(status, error.to_string())
    });
    if head {
        if let Some(length) = response.body().size_hint().exact()
            && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        {
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        *response.body_mut() = nothing();
    }
    response.map(|body| Watched::new(body, visit))
}

async fn route(request: Request<Incoming>, counters: &Arc<Counters>) -> io::Result<Response<AnyBody>> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (first, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    match first {
        "bytes" if query == "chunked" => Ok(Response::new(unsized_pattern(number(rest)?))),
        "bytes" => Ok(Response::new(pattern(number(rest)?))),
        "stall" => Ok(Response::new(stalling(number(rest)?))),
        "upload" => upload(request.into_body(), counters).await,
        "mirror" => Ok(Response::new(mirrored(request.into_body(), counters.clone()))),
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number(rest)?)).await;
            Ok(text(StatusCode::OK, format!("slow {rest}\n")))
        }
        "sse" => events(&query),
        "status" | "refuse" => with_status(rest),
        "headers" => with_headers(&query),
        "trailers" => Ok(with_trailers()),
        _ => echo(request, counters).await,
    }
}

fn text(status: StatusCode, body: String) -> Response<AnyBody> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn json(value: &impl Serialize) -> Response<AnyBody> {
    let mut response = Response::new(whole(serde_json::to_vec(value).unwrap()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn number(digits: &str) -> io::Result<u64> {
    digits
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("no number: {digits:?}\n")))
}

fn stalling(length: u64) -> AnyBody {
    let start = pattern(length).into_data_stream();
    let frames = stream::StreamExt::chain(start, stream::pending());
    StreamBody::new(stream::StreamExt::map(frames, |data| data.map(Frame::data))).boxed_unsync()
}

fn mirrored(body: Incoming, counters: Arc<Counters>) -> AnyBody {
    body.map_frame(move |frame| {
        counters.took(frame.data_ref().map_or(0, Bytes::len));
        frame
    })
    .map_err(io::Error::other)
    .boxed_unsync()
}

async fn upload(body: Incoming, counters: &Counters) -> io::Result<Response<AnyBody>> {
    let (length, sha256, _) = take(body, counters, 0).await?;
    Ok(json(&Uploaded { length, sha256 }))
}

/// Reads a body to its end: its length, its hash, and its first `keep` bytes.
async fn take(mut body: Incoming, counters: &Counters, keep: usize) -> io::Result<(u64, String, Vec<u8>)> {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let (mut length, mut kept) = (0, Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            counters.took(data.len());
            hash.update(&data);
            length += data.len() as u64;
            kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
        }
    }
    Ok((length, hex(hash.finish().as_ref()), kept))
}

fn events(query: &str) -> io::Result<Response<AnyBody>> {
    let options: HashMap<_, _> = pairs(query).collect();
    let count = options.get("count").map_or(Ok(3), |count| number(count))?;
    let interval = options.get("interval").map_or(Ok(0), |interval| number(interval))?;
    let interval = Duration::from_millis(interval);
    let events = stream::unfold(0, move |at| async move {
        if at > 0 && at < count {
            tokio::time::sleep(interval).await;
        }
        let event = format!("id: {at}\ndata: {at}\n\n");
        (at < count).then(|| (Ok(Frame::data(Bytes::from(event))), at + 1))
    });
    let mut response = Response::new(StreamBody::new(events).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

fn with_status(code: &str) -> io::Result<Response<AnyBody>> {
    let status = StatusCode::from_bytes(code.as_bytes()).map_err(io::Error::other)?;
    Ok(match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => {
            let mut response = Response::new(nothing());
            *response.status_mut() = status;
            response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"irp\""));
            response
        }
        _ => text(status, format!("status {code}\n")),
    })
}

fn with_headers(query: &str) -> io::Result<Response<AnyBody>> {
    let mut response = text(StatusCode::OK, "headers\n".to_owned());
    for (name, value) in pairs(query) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
        response.headers_mut().append(name, HeaderValue::from_str(value).map_err(io::Error::other)?);
    }
    Ok(response)
}

fn with_trailers() -> Response<AnyBody> {
    let trailers = [(HeaderName::from_static("x-checksum"), HeaderValue::from_static("5d41402a"))];
    let frames = [Frame::data(Bytes::from("hello")), Frame::trailers(trailers.into_iter().collect())];
    let mut response = Response::new(StreamBody::new(stream::iter(frames.map(Ok))).boxed_unsync());
    response.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-checksum"));
    response
}

async fn echo(request: Request<Incoming>, counters: &Counters) -> io::Result<Response<AnyBody>> {
    let (head, body) = request.into_parts();
    let (length, sha256, kept) = take(body, counters, ECHOED_BODY).await?;
    Ok(json(&Echoed {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(ToOwned::to_owned),
        version: format!("{:?}", head.version),
        authority: head.uri.authority().map(ToString::to_string),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        length,
        sha256,
        body: if length > kept.len() as u64 { None } else { String::from_utf8(kept).ok() },
    }))
}
