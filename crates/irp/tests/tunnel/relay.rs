//! The network between client and edge, in the hands of the test: it counts connections, cuts them, or
//! swallows what they carry without a word, as a network does that went away.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// A relay on a free port of loopback; it ends with its owner.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct State {
    open: AtomicUsize,
    most: AtomicUsize,
    /// One for each connection, in the order of their arrival: closes it.
    cuts: Mutex<Vec<CancellationToken>>,
    /// What connections are subject to that come from now on; when cancelled, they swallow everything.
    hole: Mutex<CancellationToken>,
}

impl Relay {
    /// A relay in front of `edge`.
    pub(crate) async fn start(edge: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let mut accepting = JoinSet::new();
        let shared = Arc::clone(&state);
        accepting.spawn(async move {
            let mut carrying = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                carrying.spawn(carry(stream, edge, Arc::clone(&shared)));
            }
        });
        Self { address, state, _accepting: accepting }
    }

    /// How many connections are open now.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(SeqCst)
    }

    /// How many connections there have been so far.
    pub(crate) fn seen(&self) -> usize {
        self.state.cuts.lock().unwrap().len()
    }

    /// How many connections were open at the same time, at most.
    pub(crate) fn most(&self) -> usize {
        self.state.most.load(SeqCst)
    }

    /// Closes the connection that came as the `index`th, counted from 0.
    pub(crate) fn cut(&self, index: usize) {
        self.state.cuts.lock().unwrap()[index].cancel();
    }

    /// From now on nothing comes through, on old connections and on new ones; none is closed.
    pub(crate) fn swallow(&self) {
        self.state.hole.lock().unwrap().cancel();
    }

    /// Connections that come from now on are carried again. What was swallowed stays lost.
    pub(crate) fn mend(&self) {
        *self.state.hole.lock().unwrap() = CancellationToken::new();
    }
}

/// Counted while it lasts.
struct Open(Arc<State>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

async fn carry(mut near: TcpStream, edge: SocketAddr, state: Arc<State>) {
    let cut = CancellationToken::new();
    state.cuts.lock().unwrap().push(cut.clone());
    let open = state.open.fetch_add(1, SeqCst) + 1;
    state.most.fetch_max(open, SeqCst);
    let _open = Open(Arc::clone(&state));
    let hole = state.hole.lock().unwrap().clone();
    let mut far = None;
    let carrying = async {
        let stream = TcpStream::connect(edge).await?;
        stream.set_nodelay(true)?;
        near.set_nodelay(true)?;
        copy_bidirectional(&mut near, far.insert(stream)).await
    };
    tokio::select! {
        biased;
        () = cut.cancelled() => return,
        // Both sockets stay open, and nobody reads them.
        () = hole.cancelled() => {}
        _ = carrying => return,
    }
    cut.cancelled().await;
}
