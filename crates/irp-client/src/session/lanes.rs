//! Lanes: further connections of a session, HTTP/1.1, one request at a time.
//!
//! The edge asks for lanes, uses them, and alone closes idle ones, so no request can cross a close. All of
//! them end with their session.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use irp_wire::{
    control::ClientMessage,
    hello::{Credentials, HELLO_TIMEOUT, HelloError, open_lane},
    seldom::Seldom,
    tasks::Tasks,
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::control::ControlSender;
use crate::{
    dial::{DialError, Dialer, link::Link},
    serve::Service,
};

/// How many lanes are dialled at a time. Without a limit a burst became a storm of handshakes that held up
/// everything else by 100 ms.
const DIALS_MAX: usize = 8;

/// What a lane may buffer in each direction, in bytes; hyper's own limit is 400 KiB.
const BUFFER: usize = 64 * 1024;

/// What lanes share with their session.
pub(super) struct Session {
    pub dialer: Arc<Dialer>,
    /// Where the session is; none behind a program, which has no lanes.
    pub peer: Option<SocketAddr>,
    pub credentials: Credentials,
    pub service: Arc<Service>,
    pub to_edge: ControlSender,
}

/// The lanes of one session.
pub(super) struct Lanes {
    session: Arc<Session>,
    max: u16,
    /// Open ones and those under way.
    count: Arc<AtomicU16>,
    dials: Arc<Semaphore>,
    close: CancellationToken,
    tasks: Tasks,
}

impl Lanes {
    pub(super) fn new(session: Session, max: u16, tasks: Tasks) -> Self {
        Self {
            session: Arc::new(session),
            max,
            count: Arc::default(),
            dials: Arc::new(Semaphore::new(DIALS_MAX)),
            close: CancellationToken::new(),
            tasks,
        }
    }

    /// Opens so many more lanes; those beyond the ceiling are reported as failed.
    pub(super) fn open(&self, count: u16) {
        for opened in 0..count {
            let Some(slot) = Slot::take(&self.count, self.max) else {
                self.session.to_edge.send(&ClientMessage::LanesFailed { count: count - opened });
                return;
            };
            let (session, dials) = (self.session.clone(), self.dials.clone());
            let close = self.close.clone();
            self.tasks.spawn(async move {
                let _slot = slot;
                let dialled = {
                    // The semaphore is never closed.
                    let _permit = dials.acquire().await;
                    Box::pin(session.dial()).await
                };
                match dialled {
                    Ok(io) => Box::pin(serve(io, session.service.clone(), close)).await,
                    Err(error) => {
                        tracing::debug!(%error, "a lane could not be opened");
                        session.to_edge.send(&ClientMessage::LanesFailed { count: 1 });
                    }
                }
            });
        }
    }

    /// Closes all lanes, each after its request.
    pub(super) fn close(&self) {
        self.close.cancel();
    }
}

impl Session {
    async fn dial(&self) -> Result<TlsStream<Link>, DialError> {
        let mut dialled = self.dialer.dial_again(self.peer).await?;
        let opening = open_lane(&mut dialled.io, &dialled.binding, &self.credentials);
        let opened = timeout(HELLO_TIMEOUT, opening).await;
        opened.unwrap_or_else(|_| Err(HelloError::Io(std::io::ErrorKind::TimedOut.into())))?;
        Ok(dialled.io)
    }
}

async fn serve(io: TlsStream<Link>, service: Arc<Service>, close: CancellationToken) {
    let handler = service_fn(move |request| service.clone().answer(request));
    let connection = http1::Builder::new()
        // The edge cancels a request by closing its lane, so the end of input means that nobody waits.
        .half_close(false)
        .max_buf_size(BUFFER)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(io), handler)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let closed = Seldom::new(close.cancelled());
    // How a lane ends is the edge's decision or the session's; both know.
    tokio::select! {
        _ = &mut connection => return,
        () = closed => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A place among the lanes.
struct Slot(Arc<AtomicU16>);

impl Slot {
    fn take(count: &Arc<AtomicU16>, max: u16) -> Option<Self> {
        let taken =
            count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < max).then(|| count + 1));
        taken.ok().map(|_| Self(count.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
