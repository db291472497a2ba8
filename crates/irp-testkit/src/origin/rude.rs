//! Origins without manners.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};
use tokio_util::either::Either;

use super::{
    counters::Counters,
    server::{Bind, Server, Socket},
};

/// How a [`RudeOrigin`] breaks the protocol. Unless said otherwise it first reads the head of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Closes every connection at once, without reading.
    ClosesAtOnce,
    /// Reads the head of the request and closes.
    ClosesAfterRequest,
    /// Reads the head of the request and resets the connection.
    ResetsAfterRequest,
    /// Closes in the middle of the status line.
    ClosesInHead,
    /// Promises 1000 bytes, sends 10 and closes: a `Content-Length` that is too long.
    ClosesInBody,
    /// Promises 1000 bytes, sends 10 and resets the connection.
    ResetsInBody,
    /// Promises 1000 bytes, sends 10, and then neither sends nor closes.
    StallsInBody,
    /// Promises 10 bytes and sends 1000, then keeps the connection: a `Content-Length` that is too short.
    SendsTooMuch,
    /// Sends one chunk of 10 bytes and closes without the last chunk.
    ClosesInChunks,
    /// Sends a chunk whose size is no number.
    BadChunk,
    /// Sends both `Content-Length` and `Transfer-Encoding: chunked`, framed by the chunks.
    LengthAndChunks,
    /// Sends two `Content-Length` fields that differ.
    TwoLengths,
    /// Reads and reads, and never answers.
    NeverAnswers,
    /// Neither reads nor answers: the sender's buffers fill up.
    NeverReads,
    /// Answers 200 with the body `early` as soon as the head is there, and reads the rest of the request.
    AnswersBeforeUpload,
    /// Answers 413 as soon as the head is there, and closes without reading the rest.
    RefusesUpload,
    /// Answers one request twice, the second time with the body `stolen!`.
    AnswersTwice,
    /// Sends something that is not HTTP.
    SendsGarbage,
    /// Sends a head that never ends.
    EndlessHead,
    /// Answers as HTTP/1.0 programs do: the body (`old`) ends where the connection does.
    HttpOneZero,
    /// Answers with `Connection` unset, as if the connection could be used again, and then closes it.
    ClosesWhenIdle,
    /// Sends `103 Early Hints`, and then a good answer (`hinted`).
    EarlyHints,
    /// Answers 101 although nobody asked for another protocol.
    UnaskedUpgrade,
    /// Sends header fields that belong to a proxy or are hop by hop, then the body `ok`.
    HopByHopHeaders,
}

impl Manner {
    /// Every manner, for tests that ask only that nothing breaks.
    pub const ALL: [Self; 24] = [
        Self::ClosesAtOnce,
        Self::ClosesAfterRequest,
        Self::ResetsAfterRequest,
        Self::ClosesInHead,
        Self::ClosesInBody,
        Self::ResetsInBody,
        Self::StallsInBody,
        Self::SendsTooMuch,
        Self::ClosesInChunks,
        Self::BadChunk,
        Self::LengthAndChunks,
        Self::TwoLengths,
        Self::NeverAnswers,
        Self::NeverReads,
        Self::AnswersBeforeUpload,
        Self::RefusesUpload,
        Self::AnswersTwice,
        Self::SendsGarbage,
        Self::EndlessHead,
        Self::HttpOneZero,
        Self::ClosesWhenIdle,
        Self::EarlyHints,
        Self::UnaskedUpgrade,
        Self::HopByHopHeaders,
    ];
}

/// A TCP server that treats every connection in one [`Manner`].
#[derive(Debug)]
pub struct RudeOrigin {
    server: Server,
    counters: Arc<Counters>,
}

impl RudeOrigin {
    /// Starts one on a free port.
    #[must_use]
    pub fn start(manner: Manner) -> Self {
        let counters = Arc::new(Counters::default());
        let shared = counters.clone();
        let server = Server::start(Bind::default(), move |socket| {
            shared.connected();
            let counters = shared.clone();
            async move {
                // The other side may be gone before the rudeness is complete.
                let _ = treat(socket, manner, &counters).await;
            }
        })
        .unwrap();
        Self { server, counters }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its connections, the heads it has read (as seen) and the bytes behind them (as received).
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// A port of loopback that refuses connections for as long as this lives: it is taken, so that nobody else can
/// get it, and nobody listens.
#[derive(Debug)]
pub struct RefusedPort {
    socket: TcpSocket,
}

impl RefusedPort {
    /// Takes a free port.
    #[must_use]
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(Bind::loopback()).unwrap();
        Self { socket }
    }

    /// The address that refuses.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

async fn treat(mut socket: Socket, manner: Manner, counters: &Counters) -> io::Result<()> {
    match manner {
        Manner::ClosesAtOnce => return Ok(()),
        Manner::NeverReads => return std::future::pending().await,
        _ => {}
    }
    read_head(&mut socket, counters).await?;
    if let Some(answer) = answer(manner) {
        socket.write_all(answer).await?;
        socket.flush().await?;
    }
    match manner {
        Manner::ResetsAfterRequest | Manner::ResetsInBody => {
            // What was sent must have arrived, or the reset would take it away.
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Either::Left(stream) = &socket {
                stream.set_zero_linger()?;
            }
            Ok(())
        }
        Manner::EndlessHead => loop {
            socket.write_all(b"x-more: and more and more and more and more and more\r\n").await?;
        },
        Manner::ClosesAfterRequest
        | Manner::ClosesInHead
        | Manner::ClosesInBody
        | Manner::ClosesInChunks
        | Manner::RefusesUpload
        | Manner::HttpOneZero
        | Manner::ClosesWhenIdle => socket.shutdown().await,
        _ => read_on(&mut socket, counters).await,
    }
}

fn answer(manner: Manner) -> Option<&'static [u8]> {
    Some(match manner {
        Manner::ClosesInHead => b"HTTP/1.1 20",
        Manner::ClosesInBody | Manner::ResetsInBody | Manner::StallsInBody => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789"
        }
        Manner::SendsTooMuch => {
            // 10 bytes are promised; the rest looks like an answer to somebody else.
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nstolen!"
        }
        Manner::ClosesInChunks => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
        Manner::BadChunk => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nten\r\n0123456789\r\n0\r\n\r\n",
        Manner::LengthAndChunks => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"
        }
        Manner::TwoLengths => b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 10\r\n\r\n0123456789",
        Manner::AnswersBeforeUpload => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly",
        Manner::RefusesUpload => {
            b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n"
        }
        Manner::AnswersTwice => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nstolen!"
        }
        Manner::SendsGarbage => b"\x16\x03\x01 220 mail.example.com ESMTP\n\n\0\0\xff\xfe\r\n\r\n",
        Manner::EndlessHead => b"HTTP/1.1 200 OK\r\n",
        Manner::HttpOneZero => b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold",
        Manner::ClosesWhenIdle => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nidle",
        Manner::EarlyHints => {
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhinted"
        }
        Manner::UnaskedUpgrade => {
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\nother"
        }
        Manner::HopByHopHeaders => {
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, x-private\r\nKeep-Alive: timeout=9\r\nx-private: secret\r\n\
            Proxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\nx-public: yes\r\nContent-Length: 2\r\n\r\nok"
        }
        Manner::ClosesAtOnce
        | Manner::ClosesAfterRequest
        | Manner::ResetsAfterRequest
        | Manner::NeverAnswers
        | Manner::NeverReads => return None,
    })
}

/// Reads to the end of the head, byte by byte, so that the rest stays where it is.
async fn read_head(socket: &mut Socket, counters: &Counters) -> io::Result<()> {
    let mut last = [0; 4];
    while last != *b"\r\n\r\n" {
        last.rotate_left(1);
        last[3] = socket.read_u8().await?;
    }
    counters.head_arrived();
    Ok(())
}

async fn read_on(socket: &mut Socket, counters: &Counters) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return Ok(()),
            length => counters.took(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        patience::eventually,
        visitor::{Door, Reply},
    };

    async fn ask(manner: Manner) -> io::Result<Reply> {
        let origin = RudeOrigin::start(manner);
        let mut wire = Door::plain(origin.address()).connect().await?;
        wire.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        wire.response().await
    }

    #[tokio::test]
    async fn those_that_break_off_are_seen_to() {
        for manner in [
            Manner::ClosesAtOnce,
            Manner::ClosesAfterRequest,
            Manner::ResetsAfterRequest,
            Manner::ClosesInHead,
            Manner::ClosesInBody,
            Manner::ResetsInBody,
            Manner::ClosesInChunks,
            Manner::BadChunk,
            Manner::SendsGarbage,
        ] {
            let error = ask(manner).await.expect_err(&format!("{manner:?}"));
            let reset = matches!(manner, Manner::ResetsAfterRequest | Manner::ResetsInBody);
            if reset {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{manner:?}: {error}");
            } else {
                assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{manner:?}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn those_that_answer_do() {
        for (manner, body) in [
            (Manner::AnswersBeforeUpload, "early"),
            (Manner::RefusesUpload, "big\n"),
            (Manner::AnswersTwice, "ok"),
            (Manner::HttpOneZero, "old"),
            (Manner::ClosesWhenIdle, "idle"),
            (Manner::EarlyHints, "hinted"),
            (Manner::HopByHopHeaders, "ok"),
            (Manner::SendsTooMuch, "0123456789"),
        ] {
            assert_eq!(ask(manner).await.unwrap().text(), body, "{manner:?}");
        }
    }

    #[tokio::test]
    async fn a_second_answer_follows_the_first() {
        let origin = RudeOrigin::start(Manner::AnswersTwice);
        let mut wire = Door::plain(origin.address()).connect().await.unwrap();
        wire.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(wire.response().await.unwrap().text(), "ok");
        assert_eq!(wire.response().await.unwrap().text(), "stolen!");
    }

    #[tokio::test]
    async fn one_that_never_answers_still_reads() {
        let origin = RudeOrigin::start(Manner::NeverAnswers);
        let mut wire = Door::plain(origin.address()).connect().await.unwrap();
        wire.send("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
        eventually("the body", || origin.counters().received() == 5).await;
        assert!(wire.is_silent(Duration::from_millis(50)).await);
    }

    #[tokio::test]
    async fn one_that_never_reads_fills_the_pipe() {
        let origin = RudeOrigin::start(Manner::NeverReads);
        let mut wire = Door::plain(origin.address()).connect().await.unwrap();
        let flood = vec![0; 64 << 20];
        assert!(tokio::time::timeout(Duration::from_millis(500), wire.send(flood)).await.is_err());
    }

    #[tokio::test]
    async fn a_refused_port_refuses() {
        let port = RefusedPort::take();
        let error = Door::plain(port.address()).connect().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
