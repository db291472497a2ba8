//! A connection in the visitor's hands, byte by byte.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::reply::{Framing, Reply, parse_head};
use crate::patience::PATIENCE;

/// The transport of a visitor: TCP, or TLS over it.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// An open connection. Everything that waits for the other side gives up after [`PATIENCE`] with
/// [`io::ErrorKind::TimedOut`], except [`Self::send`], whose stalling is what many a test wants to see.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    /// What has arrived and not been asked for yet.
    buffer: BytesMut,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The protocol that both sides agreed on in the TLS handshake.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.stream {
            Either::Left(_) => None,
            Either::Right(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }

    /// The certificates that the other side showed, its own first; none without TLS.
    #[must_use]
    pub fn certificates(&self) -> &[rustls_pki_types::CertificateDer<'static>] {
        match &self.stream {
            Either::Left(_) => &[],
            Either::Right(tls) => tls.get_ref().1.peer_certificates().unwrap_or_default(),
        }
    }

    /// Sends these bytes, whatever they are.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Sends these bytes one at a time with `pause` between them, as a slow-header attack does.
    ///
    /// # Errors
    ///
    /// When the other side has lost its patience.
    pub async fn send_slowly(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> io::Result<()> {
        for byte in bytes.as_ref() {
            self.send([*byte]).await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Says that nothing more will be sent (close_notify and FIN), and can still read.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Resets the connection instead of closing it.
    ///
    /// # Errors
    ///
    /// When the connection is gone already.
    pub fn reset(self) -> io::Result<()> {
        match &self.stream {
            Either::Left(tcp) => tcp.set_zero_linger(),
            Either::Right(tls) => tls.get_ref().0.set_zero_linger(),
        }
    }

    /// Reads one response, over any interim ones (1xx), which are in [`Reply::interim`].
    ///
    /// # Errors
    ///
    /// When the connection ends or breaks first (`UnexpectedEof` where it was closed), or it is not HTTP/1.
    pub async fn response(&mut self) -> io::Result<Reply> {
        self.response_to("GET").await
    }

    /// Like [`Self::response`]; for `HEAD` no body follows.
    ///
    /// # Errors
    ///
    /// As [`Self::response`].
    pub async fn response_to(&mut self, method: &str) -> io::Result<Reply> {
        let mut interim = Vec::new();
        loop {
            let mut reply = self.head().await?;
            if (100..200).contains(&reply.status) && reply.status != 101 {
                interim.push(reply.status);
                continue;
            }
            reply.interim = interim;
            match reply.framing(method)? {
                Framing::None => {}
                Framing::Length(length) => reply.body = self.read(length).await?,
                Framing::Chunks => self.chunks(&mut reply).await?,
                Framing::Close => reply.body = self.rest().await?,
            }
            return Ok(reply);
        }
    }

    /// Reads the head of a response, interim ones too, and leaves the body on the wire.
    ///
    /// # Errors
    ///
    /// As [`Self::response`].
    pub async fn head(&mut self) -> io::Result<Reply> {
        let mut head = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return parse_head(&head);
            }
            head.push(line);
        }
    }

    /// Reads exactly `length` bytes.
    ///
    /// # Errors
    ///
    /// When the connection ends or breaks first.
    pub async fn read(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.split_to(length).to_vec())
    }

    /// Reads what there is, at least one byte; an empty answer means that the other side has closed.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            match self.more().await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                other => other?,
            }
        }
        Ok(self.buffer.split().to_vec())
    }

    /// Reads to the end of the connection.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            match self.read_some().await? {
                some if some.is_empty() => return Ok(all),
                some => all.extend(some),
            }
        }
    }

    /// Tells whether nothing comes, neither bytes nor an end, for this long.
    pub async fn is_silent(&mut self, span: Duration) -> bool {
        self.buffer.is_empty() && timeout(span, self.more()).await.is_err()
    }

    /// Hands out the transport, to speak something else over it.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    async fn chunks(&mut self, reply: &mut Reply) -> io::Result<()> {
        loop {
            let size = self.line().await?;
            let size =
                usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16).map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("no chunk size: {size:?}"))
                })?;
            if size == 0 {
                break;
            }
            reply.body.extend(self.read(size).await?);
            self.line().await?;
        }
        loop {
            match self.line().await? {
                line if line.is_empty() => return Ok(()),
                line => reply.trailers.push(super::reply::parse_field(&line)?),
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await?? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
