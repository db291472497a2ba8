//! The origin that keeps every byte.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    framing::{Framed, frame_requests},
    server::{Bind, Server, Socket},
};

/// How long a connection must be quiet until it is answered: long enough that a body, and whatever is smuggled
/// behind it, has arrived when the sender is told that all is well and may stop.
const QUIET: Duration = Duration::from_millis(100);

/// The end of a request's head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A TCP server without any idea of HTTP: it records what it gets, and answers each time the same.
///
/// It answers when something that contains the end of a head has arrived and nothing followed for 100 ms; so
/// kept-alive connections get one answer for each request, and a smuggled second request gets none.
#[derive(Debug)]
pub struct RawOrigin {
    server: Server,
    recorded: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl RawOrigin {
    /// Starts one that answers with `answer`, the bytes of a whole response; an empty one never answers.
    #[must_use]
    pub fn start(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let shared = recorded.clone();
        let server = Server::start(Bind::default(), move |socket| {
            let mut all = shared.lock().unwrap();
            all.push(Vec::new());
            record(socket, all.len() - 1, shared.clone(), answer.clone())
        })
        .unwrap();
        Self { server, recorded }
    }

    /// Starts one that answers `200` with the body `ok`, connections kept alive.
    #[must_use]
    pub fn ok() -> Self {
        Self::start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Every byte that each connection brought, in the order of the connections.
    #[must_use]
    pub fn connections(&self) -> Vec<Vec<u8>> {
        self.recorded.lock().unwrap().clone()
    }

    /// Every byte of all connections, one connection after the other.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.recorded.lock().unwrap().concat()
    }

    /// The requests of all connections, by the strict reading of [`frame_requests`].
    ///
    /// # Errors
    ///
    /// When a connection brought something that two readers could see differently.
    pub fn requests(&self) -> Result<Vec<Framed>, String> {
        let mut requests = Vec::new();
        for connection in self.connections() {
            requests.extend(frame_requests(&connection)?);
        }
        Ok(requests)
    }
}

async fn record(mut socket: Socket, at: usize, recorded: Arc<Mutex<Vec<Vec<u8>>>>, answer: Arc<[u8]>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut answered = 0;
    loop {
        match tokio::time::timeout(QUIET, socket.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(length)) => recorded.lock().unwrap()[at].extend_from_slice(&buffer[..length]),
            Err(_) => {
                let (due, length) = {
                    let all = recorded.lock().unwrap();
                    (
                        all[at][answered..].windows(HEAD_END.len()).any(|bytes| bytes == HEAD_END),
                        all[at].len(),
                    )
                };
                if due {
                    answered = length;
                    if socket.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::Door;

    #[tokio::test]
    async fn every_byte_is_kept_and_each_request_answered_once() {
        let origin = RawOrigin::ok();
        let mut wire = Door::plain(origin.address()).connect().await.unwrap();
        for path in ["/a", "/b"] {
            wire.send(format!("POST {path} HTTP/1.1\r\nHoSt: x\r\nContent-Length: 1\r\n\r\n1"))
                .await
                .unwrap();
            assert_eq!(wire.response().await.unwrap().body, b"ok");
        }
        assert_eq!(origin.connections().len(), 1);
        let requests = origin.requests().unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[1].line, "POST /b HTTP/1.1");
        assert_eq!(requests[0].headers[0], ("HoSt".to_owned(), "x".to_owned()));
    }

    #[tokio::test]
    async fn a_second_request_in_the_same_breath_is_recorded_and_not_answered() {
        let origin = RawOrigin::ok();
        let mut wire = Door::plain(origin.address()).connect().await.unwrap();
        wire.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        wire.response().await.unwrap();
        assert_eq!(origin.requests().unwrap().len(), 2);
        assert!(wire.is_silent(QUIET * 3).await);
    }
}
