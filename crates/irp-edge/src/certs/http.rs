//! How the directory of a certificate authority is called: HTTP/1.1 over TLS, one request after the other on one
//! connection that is kept between them.
//!
//! No task is spawned: the connection is driven while a request is under way, and rests otherwise. Every request
//! ends within [`ANSWERED_WITHIN`], an answer has at most [`MAX_ANSWER`] bytes, and what the authority says in
//! `Retry-After` when it refuses is kept, since instant-acme drops it.

use std::{
    io,
    pin::Pin,
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{Either, select},
};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs as crypto};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::clock::Clock;

/// A request that has no whole answer by then has failed.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// An address that does not answer by then is given up for the next one.
pub const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// The largest answer: a certificate chain has some 5 KiB, the largest directory less.
pub const MAX_ANSWER: usize = 512 * 1024;

/// Calls one directory. Clones share the connection.
#[derive(Clone)]
pub struct DirectoryClient {
    shared: Arc<Shared>,
}

struct Shared {
    tls: TlsConnector,
    clock: Arc<dyn Clock>,
    resting: Mutex<Option<Connection>>,
    refused_until: Mutex<Option<SystemTime>>,
}

type Io = TokioIo<TlsStream<TcpStream>>;

struct Connection {
    authority: String,
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<Io, Full<Bytes>>>>,
}

impl DirectoryClient {
    /// Trusts the machine's authorities and those in `extra_roots_pem`.
    ///
    /// # Errors
    ///
    /// When the extra roots cannot be read, or there are no roots at all.
    pub fn new(extra_roots_pem: Option<&str>, clock: Arc<dyn Clock>) -> Result<Self, RootsError> {
        let extra = CertificateDer::pem_slice_iter(extra_roots_pem.unwrap_or_default().as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(RootsError::Pem)?;
        if extra_roots_pem.is_some() && extra.is_empty() {
            return Err(RootsError::Empty);
        }
        let tls = TlsConnector::from(Arc::new(trust(extra)?));
        let shared = Shared { tls, clock, resting: Mutex::default(), refused_until: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Until when the authority wants to be left alone, if it has said so since the last call.
    #[must_use]
    pub fn take_refusal(&self) -> Option<SystemTime> {
        self.shared.refused_until.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The trusted roots of a directory are of no use.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// They are not PEM.
    #[error("the extra trust roots are not PEM")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// There is no certificate in them.
    #[error("there is no certificate in the extra trust roots")]
    Empty,
    /// They cannot be trusted, or the machine has no trust roots.
    #[error("the trust roots cannot be used; is the package ca-certificates installed?")]
    Unusable(#[source] rustls::Error),
}

/// Trusts the machine's authorities and these.
pub(crate) fn trust(extra: Vec<CertificateDer<'static>>) -> Result<ClientConfig, RootsError> {
    let provider = Arc::new(crypto::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(RootsError::Unusable)?;
    let mut roots = RootCertStore::empty();
    for root in &extra {
        roots.add(root.clone()).map_err(RootsError::Unusable)?;
    }
    let mut config = match rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider) {
        Ok(verifier) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        // A bare machine has no roots of its own; a private authority needs none of them.
        Err(_) if !roots.is_empty() => builder.with_root_certificates(roots).with_no_client_auth(),
        Err(error) => return Err(RootsError::Unusable(error)),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A call that got no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("{0} is not an https URL")]
    NotHttps(String),
    #[error("no connection to {0}")]
    Connect(String, #[source] io::Error),
    #[error("no answer from {0}")]
    Http(String, #[source] hyper::Error),
    #[error("no whole answer from {0}")]
    Body(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{url} did not answer within {} s", ANSWERED_WITHIN.as_secs())]
    Late { url: String },
}

impl HttpClient for DirectoryClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let url = request.uri().to_string();
            let answer = timeout(ANSWERED_WITHIN, shared.call(request)).await;
            match answer.unwrap_or(Err(CallError::Late { url })) {
                Ok(response) => Ok(BytesResponse::from(response)),
                Err(error) => Err(instant_acme::Error::Other(error.into())),
            }
        })
    }
}

impl Shared {
    async fn call(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Full<Bytes>>, CallError> {
        let (mut parts, body) = request.into_parts();
        let Ok(body) = body.collect().await;
        let (authority, host, port) = target(&parts.uri)?;
        parts.uri = Uri::from_str(parts.uri.path_and_query().map_or("/", |path| path.as_str()))
            .map_err(|_| CallError::NotHttps(authority.clone()))?;
        if let Ok(value) = HeaderValue::from_str(&authority) {
            parts.headers.insert(header::HOST, value);
        }
        let request = Request::from_parts(parts, Full::new(body.to_bytes()));

        let rested = self.resting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut connection) = rested.filter(|connection| connection.authority == authority)
            // Looks whether the authority has closed it meanwhile.
            && (&mut connection.driver).now_or_never().is_none()
        {
            match self.exchange(connection, request.clone()).await {
                Ok(response) => return Ok(response),
                // An authority closes what rests too long, perhaps just now. Should it have seen the request all
                // the same: its nonce is good for once only, so nothing is done twice by these bytes.
                Err(CallError::Http(..)) => {}
                Err(error) => return Err(error),
            }
        }
        let connection = self.connect(authority, host, port).await?;
        self.exchange(connection, request).await
    }

    async fn connect(&self, authority: String, host: String, port: u16) -> Result<Connection, CallError> {
        let failed = |error| CallError::Connect(authority.clone(), error);
        let name = ServerName::try_from(host.clone()).map_err(|error| failed(io::Error::other(error)))?;
        let tcp = reach(&host, port).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let tls = self.tls.connect(name, tcp).await.map_err(failed)?;
        let (sender, driver) = http1::handshake(TokioIo::new(tls))
            .await
            .map_err(|error| CallError::Http(authority.clone(), error))?;
        Ok(Connection { authority, sender, driver: Box::pin(driver) })
    }

    /// One request and its whole answer. The connection rests afterwards if it can be used again.
    async fn exchange(
        &self,
        connection: Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, CallError> {
        let Connection { authority, mut sender, mut driver } = connection;
        let answer = async {
            let response = sender.send_request(request).await;
            let response = response.map_err(|error| CallError::Http(authority.clone(), error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| CallError::Body(authority.clone(), error))?;
            Ok(Response::from_parts(parts, Full::new(body.to_bytes())))
        };
        let (result, open) = match select(Box::pin(answer), driver.as_mut()).await {
            Either::Left((result, _)) => (result, true),
            // The connection has ended; what it had received is still handed out.
            Either::Right((_, answer)) => (answer.await, false),
        };
        let response = result?;
        self.heed(&response);
        if open && !sender.is_closed() {
            *self.resting.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Connection { authority, sender, driver });
        }
        Ok(response)
    }

    /// Remembers the latest `Retry-After` of a refusal.
    fn heed(&self, response: &Response<Full<Bytes>>) {
        let refused = response.status().is_client_error() || response.status().is_server_error();
        if let Some(until) = retry_after(response.headers(), self.clock.now()).filter(|_| refused) {
            let mut latest = self.refused_until.lock().unwrap_or_else(PoisonError::into_inner);
            *latest = (*latest).max(Some(until));
        }
    }
}

/// Tries one address after the other, so that one which swallows packets does not use up all the time.
pub(crate) async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match timeout(CONNECTED_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

fn target(uri: &Uri) -> Result<(String, String, u16), CallError> {
    let https = uri.scheme_str() == Some("https");
    let authority = uri.authority().filter(|_| https).ok_or_else(|| CallError::NotHttps(uri.to_string()))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    Ok((authority.to_string(), host.to_owned(), authority.port_u16().unwrap_or(443)))
}

/// RFC 9110, section 10.2.3: seconds from now, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => now.checked_add(Duration::from_secs(seconds)),
        Err(_) => OffsetDateTime::parse(value, &Rfc2822).ok().map(SystemTime::from),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))])
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(retry_after(&headers("120"), now), at(1120));
        assert_eq!(retry_after(&headers("Fri, 31 Dec 1999 23:59:59 GMT"), now), at(946_684_799));
        assert_eq!(retry_after(&headers("soon"), now), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn only_https_is_called() {
        assert!(target(&Uri::from_static("http://ca.example/dir")).is_err());
        assert!(target(&Uri::from_static("/dir")).is_err());
        let (authority, host, port) = target(&Uri::from_static("https://[::1]:14000/dir")).unwrap();
        assert_eq!((authority.as_str(), host.as_str(), port), ("[::1]:14000", "::1", 14000));
    }
}
