//! Calls of the edge's own to providers of webhooks, over HTTPS: one request on a connection of its own, bounded in time
//! and in bytes. Redirects are not followed: whoever asked has checked the address, and no other one.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::certs::http::{RootsError, reach, trust};

/// A call that has no whole answer by then has failed: providers wait for some seconds, and get theirs afterwards.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// The way out. Clones share it.
#[derive(Clone)]
pub struct Outside {
    tls: TlsConnector,
    /// Where every call goes, in the place of what its name resolves to.
    instead: Option<SocketAddr>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("instead", &self.instead).finish_non_exhaustive()
    }
}

/// A call that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is none of HTTPS.
    #[error("it is no https URL")]
    NotHttps,
    /// No connection came about.
    #[error("no connection to {0}")]
    Connect(String, #[source] io::Error),
    /// The connection broke, or no HTTP came.
    #[error("no answer from {0}")]
    Http(String, #[source] hyper::Error),
    /// The answer broke off, or is too long.
    #[error("no whole answer from {0}")]
    Body(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("{host} did not answer within {} s", ANSWERED_WITHIN.as_secs())]
    Late {
        /// Who.
        host: String,
    },
}

impl Outside {
    /// The way out that trusts the machine's authorities.
    ///
    /// # Errors
    ///
    /// When the machine has none.
    pub fn new() -> Result<Self, RootsError> {
        Ok(Self { tls: connector(Vec::new())?, instead: None })
    }

    /// A way out that leads to `address` alone, which shows a certificate of `root`: for stand-ins of providers.
    ///
    /// # Errors
    ///
    /// When the root cannot be trusted.
    pub fn to(address: SocketAddr, root: CertificateDer<'static>) -> Result<Self, RootsError> {
        Ok(Self { tls: connector(vec![root])?, instead: Some(address) })
    }

    /// Sends `request`, whose URI is a whole `https://` URL on the usual port, and reads an answer of at most `most`
    /// bytes.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn call(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Response<Bytes>, CallError> {
        let uri = request.uri();
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https") && uri.port().is_none());
        let host = host.ok_or(CallError::NotHttps)?.to_owned();
        let late = CallError::Late { host: host.clone() };
        timeout(ANSWERED_WITHIN, self.exchange(host, request, most)).await.unwrap_or(Err(late))
    }

    async fn exchange(
        &self,
        host: String,
        mut request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Response<Bytes>, CallError> {
        let failed = |error| CallError::Connect(host.clone(), error);
        let name = ServerName::try_from(host.clone()).map_err(|error| failed(io::Error::other(error)))?;
        let tcp = match self.instead {
            Some(address) => TcpStream::connect(address).await,
            None => reach(&host, 443).await,
        };
        let tls = self.tls.connect(name, tcp.map_err(failed)?).await.map_err(failed)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls))
            .await
            .map_err(|error| CallError::Http(host.clone(), error))?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::try_from(path).map_err(|_| CallError::NotHttps)?;
        if let Ok(value) = HeaderValue::from_str(&host) {
            request.headers_mut().insert(header::HOST, value);
        }
        let answer = async {
            let response = sender.send_request(request).await;
            let response = response.map_err(|error| CallError::Http(host.clone(), error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, most).collect().await;
            let body = body.map_err(|error| CallError::Body(host.clone(), error))?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        tokio::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection has ended; what it had received is still handed out.
            _ = connection => answer.await,
        }
    }
}

fn connector(extra: Vec<CertificateDer<'static>>) -> Result<TlsConnector, RootsError> {
    let config: ClientConfig = trust(extra)?;
    Ok(TlsConnector::from(Arc::new(config)))
}
