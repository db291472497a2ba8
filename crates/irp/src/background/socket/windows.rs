//! A named pipe. Its name is made of the path that a socket would have, so each user has others.
//!
//! Windows lets everybody on the PC read from a pipe, and its owner, the system and administrators write to it. irp opens
//! it for both; who could only read would learn a public URL.

use std::{io, time::Duration};

use aws_lc_rs::digest;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::windows::named_pipe::{ClientOptions, NamedPipeServer, ServerOptions},
    time::sleep,
};

use crate::background::Place;

/// `ERROR_PIPE_BUSY`: somebody else is just being accepted.
const BUSY: i32 = 231;

/// How soon, and how often, it is tried again.
const AGAIN_IN: Duration = Duration::from_millis(20);
const TRIES: u32 = 250;

/// A connection, whichever end.
pub(super) trait Both: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Both for S {}
pub(super) type Stream = Box<dyn Both>;

/// What a client answers at.
#[derive(Debug)]
pub(super) struct Listener {
    name: String,
    next: NamedPipeServer,
}

impl Listener {
    pub(super) fn bind(place: &Place) -> io::Result<Self> {
        let name = name(place);
        // Were somebody else's pipe there, callers would talk to that.
        let next = ServerOptions::new().first_pipe_instance(true).create(&name)?;
        Ok(Self { name, next })
    }

    pub(super) async fn accept(&mut self) -> io::Result<Stream> {
        self.next.connect().await?;
        let next = ServerOptions::new().create(&self.name)?;
        Ok(Box::new(std::mem::replace(&mut self.next, next)))
    }
}

pub(super) async fn connect(place: &Place) -> io::Result<Stream> {
    let name = name(place);
    let mut tries = 1;
    loop {
        match ClientOptions::new().open(&name) {
            Ok(pipe) => return Ok(Box::new(pipe)),
            Err(error) if error.raw_os_error() == Some(BUSY) && tries < TRIES => {
                tries += 1;
                sleep(AGAIN_IN).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn name(place: &Place) -> String {
    let path = place.socket();
    let hash = digest::digest(&digest::SHA256, path.as_os_str().as_encoded_bytes());
    let hash: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!(r"\\.\pipe\irp-{hash}")
}
