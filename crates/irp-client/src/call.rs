//! One request to a URL, made from here and not through a tunnel: to try a program, or an edge.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use irp_wire::tasks::Tasks;
use tokio::time::{Instant, timeout};

use crate::{
    RootsError, Upstream, UpstreamError, UpstreamTrust,
    upstream::{Scheme, connect::Connector},
};

/// The longest answer that is read, in bytes.
pub const ANSWER_MAX: usize = 1024 * 1024;

/// The answer to a call.
#[derive(Clone, Debug)]
pub struct Called {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, of at most [`ANSWER_MAX`] bytes.
    pub body: Bytes,
    /// From the first byte of the request to the last of the answer.
    pub took: Duration,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The URL is of no use.
    #[error("`{0}` is no URL that begins with https:// or http://")]
    Url(String),
    /// The host of the URL is of no use.
    #[error(transparent)]
    Host(#[from] UpstreamError),
    /// The certificates to trust are of no use.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// There is no connection.
    #[error("{0}")]
    Connect(String),
    /// The request could not be written.
    #[error("the request is malformed")]
    Request(#[from] http::Error),
    /// The connection broke.
    #[error("the connection broke before the answer was whole")]
    Broken(#[from] hyper::Error),
    /// The answer is too long, or broke off.
    #[error("the answer cannot be read: {0}")]
    Answer(String),
    /// There was no answer in time.
    #[error("no answer within {0} s")]
    Late(u64),
}

/// Calls `url`, and waits for the whole answer, at most for `limit`.
///
/// # Errors
///
/// See [`CallError`].
pub fn call<'a>(
    url: &'a str,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    trust: &'a UpstreamTrust,
    limit: Duration,
) -> BoxFuture<'a, Result<Called, CallError>> {
    call_at(None, url, method, headers, body, trust, limit)
}

/// The same at this address, whatever the URL's name resolves to; a certificate must have the name all the same.
///
/// # Errors
///
/// See [`CallError`].
pub fn call_at<'a>(
    address: Option<SocketAddr>,
    url: &'a str,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    trust: &'a UpstreamTrust,
    limit: Duration,
) -> BoxFuture<'a, Result<Called, CallError>> {
    Box::pin(exchange(address, url, method, headers, body, trust, limit))
}

async fn exchange(
    address: Option<SocketAddr>,
    url: &str,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    trust: &UpstreamTrust,
    limit: Duration,
) -> Result<Called, CallError> {
    let refused = || CallError::Url(url.chars().take(200).collect());
    let uri: Uri = url.parse().map_err(|_| refused())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(refused()) };
    let upstream: Upstream = format!("{scheme}://{authority}").parse()?;
    if upstream.scheme == Scheme::H2c {
        return Err(refused());
    }
    let connector = Connector::new(upstream, trust, limit)?.at(address);
    let mut request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority.as_str())
        .body(Full::new(body))?;
    request.headers_mut().extend(headers);
    let exchange = async {
        let stream = connector.connect(false).await.map_err(|error| CallError::Connect(error.detail))?;
        let began = Instant::now();
        let tasks = Tasks::new();
        let _end = tasks.end_on_drop();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tasks.spawn(async move {
            let _ = connection.await;
        });
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| CallError::Answer(error.to_string()))?.to_bytes();
        Ok(Called { status: parts.status, headers: parts.headers, body, took: began.elapsed() })
    };
    timeout(limit, exchange).await.unwrap_or(Err(CallError::Late(limit.as_secs())))
}
