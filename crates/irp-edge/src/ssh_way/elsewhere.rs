//! No way: none of these can be made, so nothing ever asks for one.

use std::{net::SocketAddr, slice, sync::Arc};

use irp_wire::{name::Hostname, tasks::Tasks};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::{idle::Activity, registry::Registry};

/// Tunnels of stock OpenSSH.
#[derive(Debug, Clone)]
pub enum SshWay {}

/// Why the ssh way cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SshWayError {}

/// The ssh way, opened but not yet running.
#[derive(Debug)]
pub(crate) enum RunningSshWay {}

/// Our own sshd.
#[derive(Debug)]
pub(crate) enum Handover {}

pub(crate) async fn open(way: SshWay) -> Result<RunningSshWay, SshWayError> {
    match way {}
}

impl RunningSshWay {
    pub(crate) fn names(&self) -> slice::Iter<'_, Hostname> {
        match *self {}
    }

    pub(crate) fn start(self, _: &Arc<Registry>, _: &Activity, _: &Tasks) -> Handover {
        match self {}
    }
}

impl Handover {
    pub(crate) async fn take(&self, _: TcpStream, _: SocketAddr, _: &Activity, _: &CancellationToken) {
        match *self {}
    }
}
