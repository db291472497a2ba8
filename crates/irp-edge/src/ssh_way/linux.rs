//! What `/proc` and OpenSSH's own sshd give.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use irp_wire::{name::Hostname, tasks::Tasks};
use tokio::net::TcpStream;

use crate::{
    idle::Activity,
    registry::Registry,
    tunnels::{
        pool::Forward,
        sshd::{self, ForwardAddress, Forwards, Owner, Presence, SshdWay, SshdWayConfig, UpstreamPort},
    },
};

/// Tunnels of stock OpenSSH.
#[derive(Debug, Clone)]
pub struct SshWay {
    /// The name whose requests come out at the port.
    pub name: Hostname,
    /// The port at which `ssh -R` comes out.
    pub port: UpstreamPort,
    /// Further names, each at a socket of its own, and the folder of these sockets.
    pub sockets: Option<(PathBuf, Vec<Hostname>)>,
    /// Who may have forwards.
    pub owner: Owner,
    /// Our own sshd for SSH connections on the public port; `None` refuses them.
    pub on_public_port: Option<SshdWayConfig>,
}

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
    /// Two names would share one socket.
    #[error("{first} and {second} begin with the same label, so both would be reached at {address}")]
    SameSocket {
        /// The name that has the socket.
        first: Hostname,
        /// The name that wants it as well.
        second: Hostname,
        /// The socket.
        address: ForwardAddress,
    },
}

/// Opens the ssh way.
///
/// # Errors
///
/// When our own sshd cannot start, or a name makes no socket.
pub(crate) async fn open(way: SshWay) -> Result<RunningSshWay, SshWayError> {
    let mut forwards = vec![(way.name, ForwardAddress::Tcp(way.port))];
    if let Some((folder, names)) = way.sockets {
        forwards.extend(sockets(&folder, names)?);
    }
    let watch = Forwards::new(forwards.iter().map(|(_, address)| address.clone()), way.owner);
    let sshd = match way.on_public_port {
        Some(config) => Some(SshdWay::open(config).await?),
        None => None,
    };
    Ok(RunningSshWay { forwards, watch, sshd })
}

/// A socket for each name, called after its first label: a whole name is often longer than a path may be.
fn sockets(folder: &Path, names: Vec<Hostname>) -> Result<Vec<(Hostname, ForwardAddress)>, SshWayError> {
    let mut sockets: Vec<(Hostname, ForwardAddress)> = Vec::new();
    for name in names {
        let label = name.as_str().split('.').next().unwrap_or_default();
        let address = ForwardAddress::socket(folder, label)?;
        if let Some((first, _)) = sockets.iter().find(|(_, taken)| *taken == address) {
            return Err(SshWayError::SameSocket { first: first.clone(), second: name, address });
        }
        sockets.push((name, address));
    }
    Ok(sockets)
}

impl RunningSshWay {
    /// The names that can be reached this way.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Hostname> {
        self.forwards.iter().map(|(name, _)| name)
    }

    /// Follows the forwards and the machine's ssh sessions as tasks of `tasks`.
    pub(crate) fn start(self, registry: &Arc<Registry>, activity: &Activity, tasks: &Tasks) -> Handover {
        let nudge = self.watch.nudge();
        for (name, address) in self.forwards {
            let Some(mut presence) = self.watch.watch(&address) else { continue };
            let (registry, connections, nudge) = (Arc::clone(registry), tasks.clone(), nudge.clone());
            tasks.spawn(async move {
                let forward = Forward::watched(address, connections, Some(nudge));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets_of(names: &[&str]) -> Result<Vec<String>, String> {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        let sockets = sockets(Path::new("/run/irp/tunnels"), names).map_err(|error| error.to_string())?;
        Ok(sockets.iter().map(|(_, address)| address.to_string()).collect())
    }

    #[test]
    fn sockets_are_called_after_the_first_label() {
        let sockets = sockets_of(&["alice.proxy.example.com", "bob.proxy.example.com"]).unwrap();
        assert_eq!(sockets, ["/run/irp/tunnels/alice.sock", "/run/irp/tunnels/bob.sock"]);
    }

    #[test]
    fn two_names_never_share_a_socket() {
        let error = sockets_of(&["alice.example.com", "bob.example.com", "alice.example.org"]).unwrap_err();
        assert!(
            error.starts_with("alice.example.com and alice.example.org begin with the same label"),
            "{error}"
        );
    }
}
