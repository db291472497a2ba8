//! One connection on the public port: which protocol it speaks, and who takes it from there.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use irp_wire::tasks::Tasks;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

use crate::{
    http::{Protocol as HttpProtocol, Service, Visitor, respond::PLAIN_HTTP},
    idle::Activity,
    listen,
    sniff::{self, Protocol},
    ssh_way::Handover,
    tls::{Accepted, Configs},
    tunnels::native::{Door, Guest},
};

/// How long a connection may take until its TLS handshake is done.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections may be in their handshake. Accepting rests when all are taken, and the kernel's queue
/// holds those that come meanwhile.
pub(crate) const HANDSHAKES_MAX: usize = 512;

/// What takes connections of the public port.
#[derive(Debug, Clone)]
pub(crate) struct Reception {
    pub tls: Configs,
    pub service: Service,
    pub door: Arc<Door>,
    /// Our own sshd, where SSH connections are taken.
    pub ssh: Option<Arc<Handover>>,
    pub activity: Activity,
    pub handshakes: Arc<Semaphore>,
    /// Owns the connections of visitors; those of tunnels belong to the door.
    pub visitors: Tasks,
}

impl Reception {
    /// Accepts until the visitors' owner stops.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let stop = self.visitors.token().clone();
        loop {
            let Ok(permit) = Arc::clone(&self.handshakes).acquire_owned().await else { return };
            let (stream, peer) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listen::accept(&listener) => accepted,
            };
            let reception = self.clone();
            self.visitors.spawn(async move { reception.receive(stream, peer, permit).await });
        }
    }

    async fn receive(self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let stop = self.visitors.token().clone();
        let port = stream.local_addr().map_or(443, |address| address.port());
        let accepted = tokio::select! {
            accepted = time::timeout(HANDSHAKE_TIMEOUT, self.shake_hands(stream)) => accepted,
            () = stop.cancelled() => return,
        };
        drop(permit);
        match accepted {
            Err(_) => tracing::debug!(%peer, "a connection did not finish its handshake in time"),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a handshake failed"),
            Ok(Ok(None)) => {}
            Ok(Ok(Some(Greeted::Tls(Accepted::Challenge)))) => {
                tracing::info!(%peer, "answered a tls-alpn-01 validation")
            }
            Ok(Ok(Some(Greeted::Tls(Accepted::Visitor { stream, sni, http2 })))) => {
                let visitor = Visitor { address: peer, tls: true, sni, port };
                let protocol = if http2 { HttpProtocol::Http2 } else { HttpProtocol::Http1 };
                // Boxed, so that it has no room for the handshake as long as it lives.
                Box::pin(self.service.serve_connection(stream, visitor, protocol, stop)).await;
            }
            Ok(Ok(Some(Greeted::Tls(Accepted::Tunnel { stream, host, binding })))) => {
                let door = Arc::clone(&self.door);
                let tasks = door.tasks.clone();
                let guest = Box::new(Guest { stream, host, binding, peer });
                tasks.spawn(async move { door.receive(guest).await });
            }
            Ok(Ok(Some(Greeted::Ssh(stream)))) => {
                let Some(ssh) = self.ssh else { return };
                let tasks = self.door.tasks.clone();
                let activity = self.activity;
                let stop = tasks.token().clone();
                tasks.spawn(async move { ssh.take(stream, peer, &activity, &stop).await });
            }
        }
    }

    async fn shake_hands(&self, mut stream: TcpStream) -> std::io::Result<Option<Greeted>> {
        match sniff::peek(&stream).await? {
            Protocol::Tls => Ok(Some(Greeted::Tls(self.tls.accept(stream).await?))),
            Protocol::Http => {
                stream.write_all(PLAIN_HTTP.as_bytes()).await?;
                stream.shutdown().await?;
                Ok(None)
            }
            Protocol::Ssh => Ok(Some(Greeted::Ssh(stream))),
            Protocol::Unknown => Ok(None),
        }
    }
}

/// What a connection turned out to be.
#[expect(clippy::large_enum_variant, reason = "the large variant is the common one")]
enum Greeted {
    Tls(Accepted),
    Ssh(TcpStream),
}
