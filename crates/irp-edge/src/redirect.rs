//! The listener without TLS: http-01 challenges are answered, all else is sent to HTTPS.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use irp_wire::tasks::Tasks;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{certs::HttpTokens, http::route::Routes as _, listen, registry::Registry};

/// How long one connection may take, whatever it does: there is nothing to stay for.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

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
    connections: Arc<Semaphore>,
    tasks: Tasks,
}

impl Redirect {
    pub(crate) fn new(
        registry: Arc<Registry>,
        tokens: Option<Arc<HttpTokens>>,
        public_port: u16,
        tasks: Tasks,
    ) -> Self {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { registry, tokens, public_port, connections, tasks }
    }

    /// Accepts until the owner of the tasks stops.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let stop = self.tasks.token().clone();
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else { return };
            let (stream, _) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listen::accept(&listener) => accepted,
            };
            let redirect = self.clone();
            self.tasks.spawn(async move {
                let _ = tokio::time::timeout(CONNECTION_TIME, redirect.serve(stream)).await;
                drop(permit);
            });
        }
    }

    async fn serve(&self, stream: TcpStream) {
        let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(self.answer(&request))));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(CONNECTION_TIME)
            .max_buf_size(HEADER_BYTES)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), answer);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection without TLS broke");
        }
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
