//! Tunnels: what carries a visitor's request to the developer's program.
//!
//! The HTTP side reaches every kind of tunnel through [`Tunnel::send`] alone. It hands over a request whose
//! target is in origin form, whose `Host` is set, and from which hop-by-hop headers are gone; an upgrade
//! keeps `Connection: upgrade` and `Upgrade`, and is answered with 101 and hyper's `OnUpgrade` among the
//! extensions of the response.

pub mod native;
pub mod pool;
// Only Linux tells who listens, and whose sessions there are.
#[cfg_attr(not(target_os = "linux"), path = "sshd/elsewhere.rs")]
pub mod sshd;

use std::sync::Arc;

use http::{Request, Response};

use crate::http::body::{RequestBody, TunnelBody};

/// What carries requests to the upstream of one name. Cloning is cheap.
#[derive(Clone, Debug)]
pub enum Tunnel {
    /// A session of irp's own client.
    Native(Arc<native::Session>),
    /// A forward of the machine's sshd: HTTP/1.1 to a local port or socket.
    Forward(Arc<pool::Forward>),
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Unsent {
    /// Why.
    pub why: SendError,
    /// The request, where not one byte of it was written: it may be sent again elsewhere.
    pub request: Option<Box<Request<RequestBody>>>,
}

/// Why a tunnel has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The tunnel is closed.
    #[error("the tunnel is closed")]
    Gone,
    /// The tunnel carries as many requests as it may.
    #[error("the tunnel carries as many requests as it may")]
    Full,
    /// Nothing accepts connections at the tunnel's end.
    #[error("{at} refused the connection")]
    Refused {
        /// The port that refused, where it is one.
        port: Option<u16>,
        /// The address, for the log.
        at: String,
    },
    /// The tunnel's end did not take the connection in time.
    #[error("{at} did not take the connection in time")]
    TimedOut {
        /// The address, for the log.
        at: String,
    },
    /// The connection failed otherwise.
    #[error("cannot connect to {at}")]
    Dial {
        /// The address, for the log.
        at: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The tunnel cannot carry such a request at all.
    #[error("the tunnel cannot carry this request: {0}")]
    Unsuited(&'static str),
    /// The connection ended, or what came back was not HTTP.
    #[error("the tunnel broke off before an answer")]
    Broken(#[source] hyper::Error),
}

impl Tunnel {
    /// Sends `request` and waits for the head of the answer; the caller sets the time limit. Dropping the
    /// future cancels the request.
    ///
    /// # Errors
    ///
    /// Says why there is no answer, with the request itself where it was never written.
    pub async fn send(&self, request: Box<Request<RequestBody>>) -> Result<Response<TunnelBody>, Unsent> {
        match self {
            Self::Native(session) => session.send(request).await,
            Self::Forward(forward) => forward.send(request).await,
        }
    }

    /// Whether both are the same tunnel, not merely tunnels of one name.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Native(one), Self::Native(other)) => Arc::ptr_eq(one, other),
            (Self::Forward(one), Self::Forward(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl SendError {
    /// This error, for a request that was never written.
    #[must_use]
    pub fn with_request(self, request: Box<Request<RequestBody>>) -> Unsent {
        Unsent { why: self, request: Some(request) }
    }

    /// Whether another attempt a moment later may succeed, because the tunnel may come back.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Gone | Self::Refused { .. })
    }
}
