//! Tunnels through sshd, where there are none: the types that the rest of the edge knows, of which nothing can be made.

use std::{fmt, io};

use tokio::net::TcpStream;

/// Where a forward would come out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardAddress {}

/// A connection to a forward.
pub type ForwardStream = TcpStream;

/// Asks for a look at forwards.
#[derive(Debug, Clone)]
pub enum Nudge {}

impl ForwardAddress {
    /// The port, where it is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match *self {}
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// None: there is nothing to connect to.
    pub async fn connect(&self) -> io::Result<ForwardStream> {
        match *self {}
    }
}

impl fmt::Display for ForwardAddress {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Nudge {
    /// Causes one look.
    pub fn look(&self) {
        match *self {}
    }
}
