//! A unix socket in the folder.

use std::io;

use tokio::net::{UnixListener, UnixStream};

use crate::background::Place;

/// A connection.
pub(super) type Stream = UnixStream;

/// What a client answers at.
#[derive(Debug)]
pub(super) struct Listener(UnixListener);

impl Listener {
    pub(super) fn bind(place: &Place) -> io::Result<Self> {
        Ok(Self(UnixListener::bind(place.socket())?))
    }

    pub(super) async fn accept(&mut self) -> io::Result<Stream> {
        Ok(self.0.accept().await?.0)
    }
}

pub(super) async fn connect(place: &Place) -> io::Result<Stream> {
    UnixStream::connect(place.socket()).await
}
