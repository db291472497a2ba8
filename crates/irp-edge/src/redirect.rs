//! The listener without TLS: http-01 challenges are answered, all else is sent to HTTPS.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use irp_wire::tasks::Tasks;
use tokio::net::TcpListener;

use crate::{brief::Brief, certs::HttpTokens, http::route::Routes as _, registry::Registry};

/// How much of a request is read, in bytes.
const HEADER_BYTES: usize = 16 * 1024;

/// How many connections at once.
const CONNECTIONS_MAX: usize = 256;

/// What the listener without TLS needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    registry: Arc<Registry>,
    tokens: Option<Arc<HttpTokens>>,
    public_port: u16,
    brief: Brief,
}

impl Redirect {
    pub(crate) fn new(
        registry: Arc<Registry>,
        tokens: Option<Arc<HttpTokens>>,
        public_port: u16,
        tasks: Tasks,
    ) -> Self {
        Self { registry, tokens, public_port, brief: Brief::new(CONNECTIONS_MAX, HEADER_BYTES, tasks) }
    }

    /// Accepts until the owner of the tasks stops.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let brief = self.brief.clone();
        brief.serve(listener, move |request| self.answer(request)).await;
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        if let Some(proof) = self.tokens.as_ref().and_then(|tokens| tokens.answer(path)) {
            return reply(StatusCode::OK, header::CONTENT_TYPE, "application/octet-stream", proof);
        }
        let host = request.uri().host().or_else(|| {
            let host = request.headers().get(header::HOST)?.to_str().ok()?;
            Some(host.rsplit_once(':').map_or(host, |(host, _)| host))
        });
        let host = host.map(str::to_ascii_lowercase).unwrap_or_default();
        if self.registry.route(host.trim_end_matches('.')).is_none() {
            return reply(StatusCode::NOT_FOUND, header::CONNECTION, "close", String::new());
        }
        let port = if self.public_port == 443 { String::new() } else { format!(":{}", self.public_port) };
        // 308 keeps method and body, so that a webhook posted to the wrong scheme still arrives.
        let target = format!("https://{host}{port}{path}");
        reply(StatusCode::PERMANENT_REDIRECT, header::LOCATION, &target, String::new())
    }
}

fn reply(status: StatusCode, name: header::HeaderName, value: &str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
    response
}
