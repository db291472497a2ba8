//! Listening sockets: bound first, then run; a failing accept pauses and recovers.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    time,
};

/// How many connections the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;

/// How long accepting rests when the process has no file descriptor or memory left for a connection;
/// connections that end meanwhile give some back.
const ACCEPT_REST: Duration = Duration::from_millis(200);

/// When a peer that vanished without a word is noticed on a connection where nothing else notices it.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

/// Binds a TCP listener; port 0 takes a free one. `[::]` takes IPv4 as well.
///
/// # Errors
///
/// When the address is taken, not of this machine, or may not be bound.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted edge takes its port back although connections of the old one still linger. On Windows, where it does so
    // by itself, the option means that anybody may take a port from whoever has it.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(*v6.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts one connection, set up for small messages. It returns only with a connection: errors of single
/// connections are passed over, and when descriptors or memory are used up it rests and tries again.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                prepare(&stream);
                return (stream, canonical(peer));
            }
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again in a moment");
                time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Small answers must not wait for the acknowledgement of others, and vanished peers must be noticed.
/// Failing at this only costs speed, so it is no error.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_AFTER / 3);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// An IPv4 peer of an IPv6 socket by its IPv4 address, as access rules and logs name it.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unspecified_ipv6_address_takes_ipv4_too() {
        let listener = bind("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (visitor, (_, peer)) =
            tokio::join!(TcpStream::connect(("127.0.0.1", port)), async { accept(&listener).await });
        visitor.unwrap();
        assert!(peer.is_ipv4(), "{peer}");
    }
}
