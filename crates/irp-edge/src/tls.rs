//! TLS of the public port: one certificate table, three kinds of clients told apart by ALPN.
//!
//! Visitors get TLS 1.2 or 1.3 with HTTP/2 or HTTP/1.1. A client of ours offers [`irp_wire::ALPN`] and gets
//! TLS 1.3 only, without early data, since the hello signs this session's keying material. A certificate
//! authority that validates by tls-alpn-01 offers only [`ACME_TLS_ALPN`].

use std::{io, sync::Arc};

use irp_wire::{
    name::Hostname,
    proof::{ChannelBinding, EXPORTER_LABEL},
};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use crate::certs::resolver::ACME_TLS_ALPN;

/// The TLS configurations of the public port; cheap to clone.
#[derive(Clone, Debug)]
pub struct Configs {
    visitors: Arc<ServerConfig>,
    tunnels: Arc<ServerConfig>,
    challenges: Arc<ServerConfig>,
}

/// A connection after its TLS handshake.
#[derive(Debug)]
pub enum Accepted {
    /// A visitor.
    Visitor {
        /// The connection.
        stream: TlsStream<TcpStream>,
        /// The name asked for in the handshake, where it was one.
        sni: Option<Hostname>,
        /// Whether HTTP/2 was agreed on.
        http2: bool,
    },
    /// A client of ours, before its hello.
    Tunnel {
        /// The connection.
        stream: TlsStream<TcpStream>,
        /// The name that it dialled.
        host: String,
        /// The session's keying material.
        binding: ChannelBinding,
    },
    /// A certificate authority's look at a challenge certificate; nothing more is to be said.
    Challenge,
}

impl Configs {
    /// Configurations that serve from `certificates`.
    ///
    /// # Errors
    ///
    /// When the crypto provider lacks the protocol versions.
    pub fn new(certificates: Arc<dyn ResolvesServerCert>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let build = |versions: &[&'static rustls::SupportedProtocolVersion], alpn: &[&[u8]]| {
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
            let builder = builder.with_protocol_versions(versions)?.with_no_client_auth();
            let mut config = builder.with_cert_resolver(Arc::clone(&certificates));
            config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
            Ok::<_, rustls::Error>(config)
        };
        Ok(Self {
            visitors: Arc::new(build(&[&TLS13, &TLS12], &[b"h2", b"http/1.1"])?),
            tunnels: Arc::new(build(&[&TLS13], &[irp_wire::ALPN])?),
            challenges: Arc::new(build(&[&TLS13, &TLS12], &[ACME_TLS_ALPN])?),
        })
    }

    /// Does the handshake on a fresh connection. The caller bounds the time.
    ///
    /// # Errors
    ///
    /// When the handshake fails.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Accepted> {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        let kind = kind_of(&hello);
        let host = hello.server_name().map(str::to_owned);
        let config = match kind {
            Kind::Visitor => &self.visitors,
            Kind::Tunnel => &self.tunnels,
            Kind::Challenge => &self.challenges,
        };
        let stream = start.into_stream(Arc::clone(config)).await?;
        Ok(match kind {
            Kind::Visitor => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let sni = host.and_then(|host| host.parse().ok());
                Accepted::Visitor { stream, sni, http2 }
            }
            Kind::Tunnel => {
                let mut binding = [0; 32];
                let session = stream.get_ref().1;
                session
                    .export_keying_material(&mut binding, EXPORTER_LABEL, Some(&[]))
                    .map_err(io::Error::other)?;
                let host = host.unwrap_or_default();
                Accepted::Tunnel { stream, host, binding: ChannelBinding(binding) }
            }
            Kind::Challenge => Accepted::Challenge,
        })
    }
}

enum Kind {
    Visitor,
    Tunnel,
    Challenge,
}

fn kind_of(hello: &ClientHello<'_>) -> Kind {
    let Some(mut offered) = hello.alpn() else { return Kind::Visitor };
    let mut challenge = false;
    let mut count = 0;
    for protocol in &mut offered {
        if protocol == irp_wire::ALPN {
            return Kind::Tunnel;
        }
        challenge |= protocol == ACME_TLS_ALPN;
        count += 1;
    }
    // RFC 8737, section 3: the validating client offers this protocol and nothing else.
    if challenge && count == 1 { Kind::Challenge } else { Kind::Visitor }
}
