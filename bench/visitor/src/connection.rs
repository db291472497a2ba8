//! One TLS connection that asks for `/` again and again.

use std::{
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};

/// An answer that takes longer is a failure: no contestant needs a second on an idle loopback.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest body that is read; `/` answers five bytes, error pages are a little longer.
const LARGEST_BODY: u64 = 1 << 20;

/// The visitor's TLS settings: it trusts the certificates in the PEM file `authority` and nothing else.
pub(crate) fn trust(authority: &str) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// An open keep-alive connection.
pub(crate) struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    request: String,
}

impl Connection {
    /// Dials `address` and shakes hands for `host`.
    pub(crate) fn open(address: &str, host: &str, trust: &Arc<ClientConfig>) -> Result<Self, Box<dyn Error>> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(host.to_owned())?;
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(trust), name)?, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let port = address.rsplit(':').next().unwrap_or_default();
        let request = format!("GET / HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        Ok(Self { stream: BufReader::new(stream), request })
    }

    /// Asks for `/` and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When the connection breaks, the answer is not 200, or it has no length.
    pub(crate) fn get(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(self.request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let ok = line.starts_with("HTTP/1.1 200 ");
        let mut length = None;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<u64>().ok();
            }
        }
        let length = length.filter(|length| *length <= LARGEST_BODY);
        let length = length.ok_or_else(|| io::Error::other("the answer has no usable length"))?;
        let read = io::copy(&mut self.stream.by_ref().take(length), &mut io::sink())?;
        if !ok || read < length {
            return Err(io::Error::other("not the answer of the origin"));
        }
        Ok(())
    }
}
