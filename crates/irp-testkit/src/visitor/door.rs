//! Where a visitor knocks, and how it introduces itself.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version::TLS12};
use rustls_pki_types::ServerName;
use tokio::{net::TcpSocket, sync::mpsc, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{WebSocketStream, tungstenite};
use tokio_util::either::Either;

use super::wire::{Stream, Wire};
use crate::{authority::provider, origin::AnyBody, patience::PATIENCE};

/// An HTTP/2 connection, which lives as long as a clone of this does.
pub type Http2 = SendRequest<AnyBody>;

/// A WebSocket of a visitor.
pub type WebSocket = WebSocketStream<Stream>;

/// An address with what a visitor says and believes there.
#[derive(Debug, Clone)]
pub struct Door {
    address: SocketAddr,
    tls: Option<Tls>,
    receive_buffer: Option<u32>,
    source: Option<SocketAddr>,
}

#[derive(Debug, Clone)]
struct Tls {
    name: String,
    roots: Arc<RootCertStore>,
    alpn: Vec<Vec<u8>>,
    sni: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Door {
    /// Without TLS.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, receive_buffer: None, source: None }
    }

    /// With TLS to `name`, trusting `roots` and nothing else; no ALPN unless [`Self::alpn`] names one.
    #[must_use]
    pub fn tls(address: SocketAddr, name: &str, roots: Arc<RootCertStore>) -> Self {
        let versions = rustls::DEFAULT_VERSIONS.to_vec();
        let tls = Tls { name: name.to_owned(), roots, alpn: Vec::new(), sni: true, versions };
        Self { tls: Some(tls), ..Self::plain(address) }
    }

    /// Offers these protocols, for instance `h2` and `http/1.1`.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.alpn = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        }
        self
    }

    /// Does not tell the server which name it wants.
    #[must_use]
    pub fn without_sni(mut self) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.sni = false;
        }
        self
    }

    /// Offers TLS 1.2 and nothing newer.
    #[must_use]
    pub fn tls12(mut self) -> Self {
        if let Some(tls) = &mut self.tls {
            tls.versions = vec![&TLS12];
        }
        self
    }

    /// Sets the kernel's receive buffer, so that a visitor who stops reading is noticed after few bytes.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Comes from this address, for instance another one of 127.0.0.0/8.
    #[must_use]
    pub fn from(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Knocks: TCP and, unless plain, TLS.
    ///
    /// # Errors
    ///
    /// When the connection or the handshake fails, or takes longer than [`PATIENCE`].
    pub async fn connect(&self) -> io::Result<Wire> {
        Ok(Wire::new(self.stream().await?))
    }

    /// Knocks and speaks HTTP/2 (with prior knowledge when plain). Requests need an absolute URI.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`], and when the other side does not choose `h2`.
    pub async fn http2(&self) -> io::Result<Http2> {
        let stream = self.clone().alpn(&["h2"]).stream().await?;
        if let Either::Right(tls) = &stream
            && tls.get_ref().1.alpn_protocol() != Some(b"h2")
        {
            return Err(io::Error::other("the other side does not speak HTTP/2"));
        }
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Knocks and opens a WebSocket at `path`, offering `protocols`; the answer to the handshake comes with it.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`], and when the handshake is refused.
    pub async fn websocket(
        &self,
        path: &str,
        protocols: &[&str],
    ) -> io::Result<(WebSocket, http::Response<()>)> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let host = self.tls.as_ref().map_or_else(|| self.address.ip().to_string(), |tls| tls.name.clone());
        let mut request = tungstenite::client::IntoClientRequest::into_client_request(format!(
            "{scheme}://{host}:{}{path}",
            self.address.port()
        ))
        .map_err(io::Error::other)?;
        if !protocols.is_empty() {
            let offer = protocols.join(", ").parse().map_err(io::Error::other)?;
            request.headers_mut().insert(http::header::SEC_WEBSOCKET_PROTOCOL, offer);
        }
        let stream = self.stream().await?;
        let handshake = timeout(PATIENCE, tokio_tungstenite::client_async(request, stream)).await?;
        let (socket, response) = handshake.map_err(io::Error::other)?;
        Ok((socket, response.map(|_| ())))
    }

    async fn stream(&self) -> io::Result<Stream> {
        timeout(PATIENCE, async {
            let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if let Some(bytes) = self.receive_buffer {
                socket.set_recv_buffer_size(bytes)?;
            }
            if let Some(source) = self.source {
                socket.bind(source)?;
            }
            let stream = socket.connect(self.address).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => Ok(Either::Left(stream)),
                Some(tls) => {
                    let name = ServerName::try_from(tls.name.clone()).map_err(io::Error::other)?;
                    let stream = TlsConnector::from(tls.config()).connect(name, stream).await?;
                    Ok(Either::Right(Box::new(stream)))
                }
            }
        })
        .await?
    }
}

impl Tls {
    fn config(&self) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.alpn);
        config.enable_sni = self.sni;
        Arc::new(config)
    }
}

/// A request body that the test writes while the request runs; it ends when the sender is dropped.
#[must_use]
pub fn open_body() -> (mpsc::Sender<io::Result<Frame<Bytes>>>, AnyBody) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = stream::unfold(receiver, |mut receiver| async move {
        let frame = receiver.recv().await?;
        Some((frame, receiver))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}
