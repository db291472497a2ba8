//! Upstreams at unix sockets.

use std::{io, path::Path};

use tokio::net::UnixStream;

/// Whether there can be one.
pub(super) const IS_REACHABLE: bool = true;

/// Connects to one.
pub(super) async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}
