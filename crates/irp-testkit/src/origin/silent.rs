//! A machine that answers nobody, not even with a refusal.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use super::server::Bind;

/// How long an attempt stays unanswered until it is believed that there will be no answer.
const SILENT_FOR: Duration = Duration::from_secs(1);

/// How many attempts are answered at most, before the queue is full.
const ANSWERED_MOST: usize = 16;

/// A port of loopback at which attempts to connect go unanswered for as long as this lives, as at a machine that is
/// off: there is a listener who accepts nobody, its queue is full, and then Linux drops what comes.
#[derive(Debug)]
pub struct SilentPort {
    listener: Socket,
    queue: Vec<TcpStream>,
}

impl SilentPort {
    /// Takes a free port.
    #[must_use]
    pub fn take() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&Bind::loopback().into()).unwrap();
        listener.listen(0).unwrap();
        let mut port = Self { listener, queue: Vec::new() };
        while let Ok(answered) = port.attempt() {
            port.queue.push(answered);
            assert!(port.queue.len() <= ANSWERED_MOST, "the queue of {} is never full", port.address());
        }
        port
    }

    /// The address that is silent.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }

    fn attempt(&self) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(&self.address(), SILENT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_port_neither_accepts_nor_refuses() {
        let port = SilentPort::take();
        assert_eq!(port.attempt().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
