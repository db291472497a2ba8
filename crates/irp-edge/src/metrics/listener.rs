//! The listener of the page. It is for this machine only, and never in the way of visitors.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use irp_wire::tasks::Tasks;
use tokio::net::TcpListener;

use super::{Page, page::MEDIA_TYPE};
use crate::brief::Brief;

/// Where the page is.
const PATH: &str = "/metrics";
/// How much of a request is read, in bytes; hyper's least.
const HEADER_BYTES: usize = 8192;
/// How many connections at once: whoever looks is one program.
const CONNECTIONS_MAX: usize = 16;

/// Answers whoever looks at the metrics.
#[derive(Debug)]
pub(crate) struct MetricsListener {
    page: Arc<Page>,
    brief: Brief,
}

impl MetricsListener {
    pub(crate) fn new(page: Page, tasks: Tasks) -> Self {
        Self { page: Arc::new(page), brief: Brief::new(CONNECTIONS_MAX, HEADER_BYTES, tasks) }
    }

    /// Accepts until the owner of the tasks stops.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let Self { page, brief } = self;
        brief.serve(listener, move |request| answer(&page, request)).await;
    }
}

fn answer(page: &Arc<Page>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
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
    match page.text() {
        Ok(text) => {
            let mut response = Response::new(Full::from(text));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
            response
        }
        Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
