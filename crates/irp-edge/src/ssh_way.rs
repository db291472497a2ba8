//! Stock OpenSSH as a tunnel, put together: what listens becomes a route, SSH on the public port gets our sshd.

use std::{net::SocketAddr, sync::Arc};

use irp_wire::{name::Hostname, tasks::Tasks};
use tokio::net::TcpStream;

use crate::{
    config::SshWay,
    idle::Activity,
    registry::Registry,
    tunnels::{
        pool::Forward,
        sshd::{self, ForwardAddress, Forwards, Presence, SshdWay},
    },
};

/// The ssh way, opened but not yet running.
#[derive(Debug)]
pub(crate) struct RunningSshWay {
    forwards: Vec<(Hostname, ForwardAddress)>,
    watch: Forwards,
    sshd: Option<SshdWay>,
}

/// Our own sshd, where SSH connections on the public port are taken.
#[derive(Debug)]
pub(crate) struct Handover {
    sshd: Option<SshdWay>,
}

/// Why the ssh way cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SshWayError {
    /// Our own sshd cannot start.
    #[error("cannot take SSH connections on the public port")]
    Sshd(#[from] sshd::OpenError),
    /// The name of a socket is of no use.
    #[error("cannot make the sockets for ssh -R")]
    Sockets(#[from] sshd::SocketNameError),
}

/// Opens the ssh way.
///
/// # Errors
///
/// When our own sshd cannot start, or a name makes no socket.
pub(crate) async fn open(way: SshWay) -> Result<RunningSshWay, SshWayError> {
    let mut forwards = vec![(way.name, ForwardAddress::Tcp(way.port))];
    if let Some((folder, names)) = way.sockets {
        for name in names {
            let address = ForwardAddress::socket(&folder, name.as_str())?;
            forwards.push((name, address));
        }
    }
    let watch = Forwards::new(forwards.iter().map(|(_, address)| address.clone()), way.owner);
    let sshd = match way.on_public_port {
        Some(config) => Some(SshdWay::open(config).await?),
        None => None,
    };
    Ok(RunningSshWay { forwards, watch, sshd })
}

impl RunningSshWay {
    /// The names that can be reached this way.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Hostname> {
        self.forwards.iter().map(|(name, _)| name)
    }

    /// Follows the forwards and the machine's ssh sessions as tasks of `tasks`.
    pub(crate) fn start(self, registry: &Arc<Registry>, activity: &Activity, tasks: &Tasks) -> Handover {
        for (name, address) in self.forwards {
            let Some(mut presence) = self.watch.watch(&address) else { continue };
            let (registry, connections) = (Arc::clone(registry), tasks.clone());
            tasks.spawn(async move {
                let forward = Forward::new(address, connections);
                loop {
                    let now = *presence.borrow_and_update();
                    if let Presence::Foreign { uid } = now {
                        tracing::warn!(%name, uid, "another account listens for this name: no request goes there");
                    }
                    registry.set_forward(&name, now.is_present().then(|| Arc::clone(&forward)));
                    if presence.changed().await.is_err() {
                        return;
                    }
                }
            });
        }
        tasks.spawn(self.watch.run(activity.clone(), tasks.token().clone()));
        tasks.spawn(sshd::count_ssh_sessions("/proc".into(), activity.clone(), tasks.token().clone()));
        Handover { sshd: self.sshd }
    }
}

impl Handover {
    /// Takes an SSH connection of the public port, or closes it where none are taken.
    pub(crate) async fn take(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        activity: &Activity,
        stop: &tokio_util::sync::CancellationToken,
    ) {
        let Some(sshd) = &self.sshd else { return };
        match sshd.hand_over(stream, from, activity, stop).await {
            Ok(ended) => tracing::debug!(%from, ?ended, "an SSH connection ended"),
            Err(error) => tracing::warn!(%from, %error, "refused an SSH connection"),
        }
    }
}
