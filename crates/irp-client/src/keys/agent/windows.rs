//! A named pipe.

use std::{io, path::Path, time::Duration};

use tokio::{
    net::windows::named_pipe::{ClientOptions, NamedPipeClient},
    time::sleep,
};

/// `ERROR_PIPE_BUSY`: others are being served, and the next one may come in a moment.
const BUSY: i32 = 231;

/// How soon it is tried again; the caller bounds how long.
const AGAIN_IN: Duration = Duration::from_millis(20);

pub(super) async fn connect(pipe: &Path) -> io::Result<NamedPipeClient> {
    loop {
        match ClientOptions::new().open(pipe) {
            Err(error) if error.raw_os_error() == Some(BUSY) => sleep(AGAIN_IN).await,
            opened => return opened,
        }
    }
}
