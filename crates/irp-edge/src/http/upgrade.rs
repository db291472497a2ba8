//! Upgraded connections (WebSocket and whatever else): bytes both ways until both ends are done, one is
//! gone, or nothing has moved for too long.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes},
    time::{Instant, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{connection::Connection, exchange::Running, limits::Limits};

/// What is copied at once, each way.
const BUFFER: usize = 16 * 1024;
/// How long both ends may take to change their protocol.
const CHANGE: Duration = Duration::from_secs(10);

/// Copies between both ends until `stop`; `running` counts the connection as in flight meanwhile.
pub(super) async fn copy(
    visitor: OnUpgrade,
    tunnel: OnUpgrade,
    connection: Arc<Connection>,
    limits: Limits,
    mut running: Running,
    stop: CancellationToken,
) {
    let both = async { tokio::try_join!(visitor, tunnel) };
    let (visitor, tunnel) = match timeout(CHANGE, both).await {
        Ok(Ok(both)) => both,
        Ok(Err(error)) => return tracing::debug!(%error, "an upgrade failed"),
        Err(_) => return tracing::debug!("an upgrade took too long"),
    };
    // From here on the end of the visitor's half is passed on at once.
    connection.upgraded();
    let moved = Arc::new(AtomicBool::new(false));
    let mut visitor = Moving { io: TokioIo::new(visitor), moved: Arc::clone(&moved) };
    let mut tunnel = Moving { io: TokioIo::new(tunnel), moved: Arc::clone(&moved) };
    tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut visitor, &mut tunnel, BUFFER, BUFFER) => match copied {
            Ok(_) => running.complete(),
            Err(error) => tracing::debug!(%error, "an upgraded connection broke off"),
        },
        // It has no end that could be waited for.
        () = stop.cancelled() => tracing::debug!("an upgraded connection was cut: the edge is stopping"),
        reason = standstill(&moved, &connection, &limits) => tracing::debug!(reason, "an upgraded connection was cut"),
    }
}

/// Ends when nothing has moved for too long, or the visitor takes nothing.
async fn standstill(moved: &AtomicBool, connection: &Connection, limits: &Limits) -> &'static str {
    let period = (limits.upgrade_idle.min(limits.stalled) / 4).clamp(Duration::from_millis(20), CHANGE);
    let mut looks = interval(period);
    let mut last = Instant::now();
    loop {
        let now = looks.tick().await;
        if moved.swap(false, Ordering::Relaxed) {
            last = now;
        }
        if now.saturating_duration_since(last) > limits.upgrade_idle {
            return "nothing has moved";
        }
        if connection.is_blocked(limits.stalled) {
            return "the visitor takes nothing";
        }
    }
}

/// Notes that bytes have come.
struct Moving {
    io: TokioIo<Upgraded>,
    moved: Arc<AtomicBool>,
}

impl AsyncRead for Moving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.moved.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Moving {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
