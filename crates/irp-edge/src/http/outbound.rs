//! What the edge sends by itself to a provider: that somebody who waits is told elsewhere (Slack's `response_url`).
//!
//! Which addresses may be called is decided where the answer is made (`irp_webhook`: `https://hooks.slack.com/` alone).
//! An answer is not looked at beyond its status, and nothing is tried twice.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use tokio_rustls::TlsConnector;

use crate::certs::http::{RootsError, reach, trust};

/// How long a post may take, its connection included.
const WITHIN: Duration = Duration::from_secs(10);
/// How many may be under way; people press no more buttons than that.
const AT_ONCE: usize = 16;

/// Posts to providers. Clones share the bound.
#[derive(Clone)]
pub struct Outbound {
    tls: TlsConnector,
    /// Instead of where the name leads.
    address: Option<SocketAddr>,
    under_way: Arc<Semaphore>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why a post failed.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The URL is none with https.
    #[error("no https URL")]
    Url,
    /// Too many are under way.
    #[error("too many posts at once")]
    Busy,
    /// There is no connection.
    #[error("no connection")]
    Connect(#[from] io::Error),
    /// There is no answer.
    #[error("no answer")]
    Http(#[from] hyper::Error),
    /// It took too long.
    #[error("no answer within {} s", WITHIN.as_secs())]
    Late,
}

impl Outbound {
    /// Trusts the machine's authorities.
    ///
    /// # Errors
    ///
    /// When the machine has none.
    pub fn new() -> Result<Self, RootsError> {
        Self::with(Vec::new(), None)
    }

    /// Trusts `root` as well, and finds every name at `address`: for an edge that reaches providers through a gateway.
    ///
    /// # Errors
    ///
    /// When the root is of no use.
    pub fn through(root: CertificateDer<'static>, address: SocketAddr) -> Result<Self, RootsError> {
        Self::with(vec![root], Some(address))
    }

    fn with(roots: Vec<CertificateDer<'static>>, address: Option<SocketAddr>) -> Result<Self, RootsError> {
        let tls = TlsConnector::from(Arc::new(trust(roots)?));
        Ok(Self { tls, address, under_way: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Posts JSON, and returns the status of the answer.
    pub(super) async fn post(&self, url: &str, json: Vec<u8>) -> Result<StatusCode, PostError> {
        let _place = self.under_way.try_acquire().map_err(|_| PostError::Busy)?;
        timeout(WITHIN, self.exchange(url, json)).await.map_err(|_| PostError::Late)?
    }

    async fn exchange(&self, url: &str, json: Vec<u8>) -> Result<StatusCode, PostError> {
        let uri: Uri = url.parse().map_err(|_| PostError::Url)?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or(PostError::Url)?.to_owned();
        let tcp = match self.address {
            Some(address) => TcpStream::connect(address).await?,
            None => reach(&host, uri.port_u16().unwrap_or(443)).await?,
        };
        let name = ServerName::try_from(host.clone()).map_err(|_| PostError::Url)?;
        let tls = self.tls.connect(name, tcp).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request =
            Request::post(target).body(Full::new(Bytes::from(json))).map_err(|_| PostError::Url)?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::try_from(host).map_err(|_| PostError::Url)?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = sender.send_request(request);
        tokio::pin!(connection);
        tokio::select! {
            answer = answer => Ok(answer?.status()),
            ended = &mut connection => Err(match ended {
                Err(error) => error.into(),
                Ok(()) => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            }),
        }
    }
}
