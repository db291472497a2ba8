//! A unix socket.

use std::{io, path::Path};

use tokio::net::UnixStream;

pub(super) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(socket).await
}
