//! No upstreams at unix sockets: Windows has such sockets, but tokio cannot wait for them.

use std::{io, path::Path};

use tokio::net::TcpStream;

/// Whether there can be one.
pub(super) const IS_REACHABLE: bool = false;

/// Refuses: such an upstream is refused where it is named.
pub(super) async fn connect(_: &Path) -> io::Result<TcpStream> {
    Err(io::ErrorKind::Unsupported.into())
}
