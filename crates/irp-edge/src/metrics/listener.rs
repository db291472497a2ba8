//! The listener of the page. It is for this machine only, and never in the way of visitors.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use irp_wire::tasks::Tasks;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::{Page, page::MEDIA_TYPE};
use crate::listen;

/// Where the page is.
const PATH: &str = "/metrics";
/// How long a connection may take for all it does.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// How much of a request is read, in bytes; hyper's least.
const HEADER_BYTES: usize = 8192;
/// How many connections at once: whoever looks is one program.
const CONNECTIONS_MAX: usize = 16;

/// Answers whoever looks at the metrics.
#[derive(Clone, Debug)]
pub(crate) struct MetricsListener {
    page: Arc<Page>,
    connections: Arc<Semaphore>,
    tasks: Tasks,
}

impl MetricsListener {
    pub(crate) fn new(page: Page, tasks: Tasks) -> Self {
        Self { page: Arc::new(page), connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)), tasks }
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
            let (this, stop) = (self.clone(), stop.clone());
            self.tasks.spawn(async move {
                stop.run_until_cancelled(timeout(CONNECTION_TIME, this.serve(stream))).await;
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
            tracing::debug!(%error, "a connection for metrics broke");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let status = |status| {
            let mut response = Response::new(Full::default());
            *response.status_mut() = status;
            response
        };
        if request.uri().path() != PATH {
            return status(StatusCode::NOT_FOUND);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return status(StatusCode::METHOD_NOT_ALLOWED);
        }
        match self.page.text() {
            Ok(text) => {
                let mut response = Response::new(Full::from(text));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
                response
            }
            Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}
