//! The thread on which an origin lives.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::PathBuf,
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    net::{TcpStream, UnixStream},
    task::JoinSet,
};
use tokio_util::{either::Either, sync::CancellationToken};

/// Where an origin listens.
#[derive(Debug, Clone)]
pub enum Bind {
    /// At this address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// At this path, which must not exist yet; it is removed on drop.
    Unix(PathBuf),
}

impl Bind {
    /// A free port of 127.0.0.1.
    pub(super) fn loopback() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }
}

impl Default for Bind {
    fn default() -> Self {
        Self::Tcp(Self::loopback())
    }
}

/// How long to wait when the process has no file descriptor left for one more connection.
const BREATH: Duration = Duration::from_millis(10);

/// One accepted connection.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// An accept loop with its connections, in a thread and a runtime of its own.
///
/// So an origin serves tests with and without a runtime, and none that block theirs. Dropping it cuts every
/// connection and returns when the port is free again.
pub(super) struct Server {
    address: Option<SocketAddr>,
    path: Option<PathBuf>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start<S, F>(bind: Bind, serve: S) -> io::Result<Self>
    where
        S: Fn(Socket) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (listener, address, path) = match bind {
            Bind::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                (Either::Left(listener), Some(address), None)
            }
            Bind::Unix(path) => {
                let listener = UnixListener::bind(&path)?;
                listener.set_nonblocking(true)?;
                (Either::Right(listener), None, Some(path))
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(stopped.run_until_cancelled(accept(listener, serve)));
            runtime.shutdown_background();
        });
        Ok(Self { address, path, stop, thread: Some(thread) })
    }

    /// The address it listens at.
    ///
    /// Panics for one at a path: a test that asks has mixed up its origins.
    pub(super) fn address(&self) -> SocketAddr {
        self.address.expect("an origin at a path has no address")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).field("path", &self.path).finish()
    }
}

async fn accept<S, F>(listener: Either<TcpListener, UnixListener>, serve: S)
where
    S: Fn(Socket) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    // Held here, so that the connections end with the loop.
    let mut connections = JoinSet::new();
    match listener {
        Either::Left(listener) => {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(BREATH).await;
                    continue;
                };
                // Without it the last piece of each answer waits 40 ms for the peer's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(Either::Left(stream)));
                while connections.try_join_next().is_some() {}
            }
        }
        Either::Right(listener) => {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(BREATH).await;
                    continue;
                };
                connections.spawn(serve(Either::Right(stream)));
                while connections.try_join_next().is_some() {}
            }
        }
    }
}
