//! Telling the edge that an upload is wanted, where the visitor asked first.

use http::Request;
use irp_wire::{control::ClientMessage, headers::CONTINUE};

use crate::session::control::ControlSender;

/// The word for one request that came on the control connection. On a lane, hyper's 100 is the word.
pub(crate) struct Announce {
    request: u64,
    to_edge: ControlSender,
}

impl Announce {
    /// The word that the edge waits for; `None` where it waits for none.
    pub(super) fn of<B>(request: &Request<B>, to_edge: &ControlSender) -> Option<Self> {
        let number = request.headers().get(CONTINUE)?.to_str().ok()?.parse().ok()?;
        Some(Self { request: number, to_edge: to_edge.clone() })
    }

    /// Says it.
    pub(crate) fn wanted(self) {
        self.to_edge.send(&ClientMessage::Continue { request: self.request });
    }
}
