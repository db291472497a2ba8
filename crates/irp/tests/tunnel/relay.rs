//! The network between client and edge, in the hands of the test: it counts connections, cuts them, or
//! swallows what they carry without a word, as a network does that went away.

use std::{
    collections::BTreeMap,
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
    seen: AtomicUsize,
    most: AtomicUsize,
    /// One for each open connection, by the order of their arrival: closes it.
    cuts: Mutex<BTreeMap<usize, CancellationToken>>,
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
        self.state.cuts.lock().unwrap().len()
    }

    /// How many connections there have been so far.
    pub(crate) fn seen(&self) -> usize {
        self.state.seen.load(SeqCst)
    }

    /// How many connections were open at the same time, at most.
    pub(crate) fn most(&self) -> usize {
        self.state.most.load(SeqCst)
    }

    /// Closes an open connection: the oldest is 0. An attempt that the client gave up is not among them.
    pub(crate) fn cut(&self, index: usize) {
        self.state.cuts.lock().unwrap().values().nth(index).unwrap().cancel();
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
struct Open {
    number: usize,
    state: Arc<State>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.cuts.lock().unwrap().remove(&self.number);
    }
}

async fn carry(mut near: TcpStream, edge: SocketAddr, state: Arc<State>) {
    let cut = CancellationToken::new();
    let number = state.seen.fetch_add(1, SeqCst);
    let open = {
        let mut cuts = state.cuts.lock().unwrap();
        cuts.insert(number, cut.clone());
        cuts.len()
    };
    state.most.fetch_max(open, SeqCst);
    let _open = Open { number, state: Arc::clone(&state) };
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
