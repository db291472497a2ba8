//! A program that takes events one by one, remembers them, and answers as it was told: [`Bot`].

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_rustls::TlsAcceptor;

use super::{
    body::{AnyBody, whole},
    server::{Bind, Server},
};

/// A program that takes events.
#[derive(Debug)]
pub struct Bot {
    server: Server,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// An event that came.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// What it was answered with.
    pub status: u16,
}

/// What to do with an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// The status of the answer; 200 if there is nothing else.
    pub status: Option<u16>,
    /// How long the answer takes.
    pub takes: Duration,
}

impl Taken {
    /// The value of a header; the empty text where there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Bot {
    /// One that answers 200 to everything, on a free port.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Bind::loopback(), |_, _| Manners::default()).unwrap()
    }

    /// One at `address` that does with each event as `manners` says: told are how many came before, and the body.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub fn with(
        address: SocketAddr,
        manners: impl Fn(usize, &[u8]) -> Manners + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::behind(address, None, manners)
    }

    /// One that answers 200 to everything behind TLS, on a free port.
    #[must_use]
    pub fn with_tls(tls: Arc<rustls::ServerConfig>) -> Self {
        Self::behind(Bind::loopback(), Some(tls.into()), |_, _| Manners::default()).unwrap()
    }

    fn behind(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        manners: impl Fn(usize, &[u8]) -> Manners + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let (manners, kept) = (Arc::new(manners), Arc::clone(&taken));
        let server = Server::start(Bind::Tcp(address), move |socket| {
            let (manners, kept) = (Arc::clone(&manners), Arc::clone(&kept));
            let service = service_fn(move |request| {
                let (manners, kept) = (Arc::clone(&manners), Arc::clone(&kept));
                async move { Ok::<_, Infallible>(take(request, manners.as_ref(), &kept).await) }
            });
            let tls = tls.clone();
            async move {
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new());
                // How a connection ends does not matter here.
                match tls {
                    None => drop(http.serve_connection(TokioIo::new(socket), service).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(socket).await {
                            drop(http.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            }
        })?;
        Ok(Self { server, taken })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What came so far, in the order in which it was answered.
    ///
    /// # Panics
    ///
    /// When a test panicked while it looked.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// How many were answered so far.
    ///
    /// # Panics
    ///
    /// As [`Self::taken`].
    #[must_use]
    pub fn count(&self) -> usize {
        self.taken.lock().unwrap().len()
    }
}

async fn take(
    request: Request<Incoming>,
    manners: &(impl Fn(usize, &[u8]) -> Manners + Send + Sync),
    taken: &Mutex<Vec<Taken>>,
) -> Response<AnyBody> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // Broken off: it never came.
        return Response::new(whole("broken"));
    };
    let body = body.to_bytes().to_vec();
    let before = taken.lock().unwrap().len();
    let told = manners(before, &body);
    tokio::time::sleep(told.takes).await;
    let status = told.status.unwrap_or(200);
    let target = parts.uri.to_string();
    taken.lock().unwrap().push(Taken { target, headers: parts.headers, body, status });
    let mut response = Response::new(whole("taken"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
