//! Which forwards are there: a look at `/proc/net` twice a second, without touching the developer's program.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    ForwardAddress, UpstreamPort,
    listening::{self, TcpListening, UnixListening},
};
use crate::idle::{Activity, SessionGuard};

/// How often to look. One look reads a few KiB from the kernel, in about 100 µs.
pub const FORWARDS_LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a trial connection may take, where one is needed at all: it goes to the loopback.
const TRIAL_WITHIN: Duration = Duration::from_secs(1);

/// Whether a forward is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing accepts connections.
    Absent,
    /// The tunnel is there.
    Present,
    /// Somebody listens who is not the owner of this machine's forwards; no request goes there.
    Foreign {
        /// The user id that listens.
        uid: u32,
    },
}

impl Presence {
    /// Whether requests may be forwarded.
    #[must_use]
    pub fn is_present(self) -> bool {
        self == Self::Present
    }
}

/// Who may have forwards on this machine. There is one owner at a time, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This user id and no other.
    Uid(u32),
    /// Whoever had a forward first, until the last of theirs is gone. For the machine's own sshd, where people
    /// log in as whom they like.
    FirstCome,
}

/// Asks for a look now, for instance after a connection was refused.
#[derive(Debug, Clone)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// A handle that causes no look but tells of it, for tests of those who nudge.
    #[cfg(test)]
    pub(crate) fn observed() -> (Self, Arc<Notify>) {
        let notify = Arc::new(Notify::new());
        (Self(Arc::clone(&notify)), notify)
    }

    /// Causes one look.
    pub fn look(&self) {
        self.0.notify_one();
    }
}

/// Watches a fixed set of addresses.
#[derive(Debug)]
pub struct Forwards {
    proc: PathBuf,
    watched: Vec<Watched>,
    owner: Owner,
    /// Who the owner is at present.
    holder: Option<u32>,
    nudge: Arc<Notify>,
    failed: bool,
}

#[derive(Debug)]
struct Watched {
    address: ForwardAddress,
    sender: watch::Sender<Presence>,
    /// What the last look saw, and whether it accepts.
    last: Option<(Sight, bool)>,
    session: Option<SessionGuard>,
}

/// What names one state of an address exactly: the inodes of the sockets that listen there, and of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Sight {
    uid: Option<u32>,
    /// Inode and time of change: a new file may get the inode of one that was just removed.
    file: Option<(u64, i64, i64)>,
    sockets: Vec<u64>,
    /// Whether the kernel's tables leave open that a connection arrives.
    doubtful: bool,
}

impl Forwards {
    /// Watches `addresses`; nothing is read before [`Forwards::run`].
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = ForwardAddress>, owner: Owner) -> Self {
        let watched = |address| {
            let sender = watch::Sender::new(Presence::Absent);
            Watched { address, sender, last: None, session: None }
        };
        Self {
            proc: PathBuf::from("/proc"),
            watched: addresses.into_iter().map(watched).collect(),
            owner,
            holder: None,
            nudge: Arc::new(Notify::new()),
            failed: false,
        }
    }

    /// Follows the presence of one address; `None` when it is not watched. After the end of [`Forwards::run`]
    /// the channel is closed.
    #[must_use]
    pub fn watch(&self, address: &ForwardAddress) -> Option<watch::Receiver<Presence>> {
        self.watched
            .iter()
            .find(|watched| watched.address == *address)
            .map(|watched| watched.sender.subscribe())
    }

    /// A handle that causes a look out of turn.
    #[must_use]
    pub fn nudge(&self) -> Nudge {
        Nudge(Arc::clone(&self.nudge))
    }

    /// Looks until `stop`; each forward that is present is a session of `activity`.
    pub async fn run(mut self, activity: Activity, stop: CancellationToken) {
        loop {
            self.look(&activity).await;
            tokio::select! {
                () = sleep(FORWARDS_LOOK_EVERY) => {}
                () = self.nudge.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look(&mut self, activity: &Activity) {
        let (tcp, unix) = match self.read() {
            Ok(listening) => listening,
            // What was there stays there: the kernel does not lose these files, so this is some short trouble.
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(%error, "cannot read what listens on this machine");
                }
                return;
            }
        };
        self.failed = false;

        let mut uids = Vec::with_capacity(self.watched.len());
        for watched in &mut self.watched {
            let sight = match &watched.address {
                ForwardAddress::Tcp(port) => Sight::of_port(*port, &tcp),
                ForwardAddress::Unix(path) => Sight::of_socket(path, &unix, watched.last.as_ref()),
            };
            uids.push(watched.accepting(sight).await);
        }
        let judged = judge(self.owner, &mut self.holder, &uids);
        for (watched, presence) in self.watched.iter_mut().zip(judged) {
            watched.publish(presence, activity);
        }
    }

    fn read(&self) -> io::Result<(Vec<TcpListening>, Vec<UnixListening>)> {
        let any =
            |kind: fn(&ForwardAddress) -> bool| self.watched.iter().any(|watched| kind(&watched.address));
        let tcp = if any(|address| matches!(address, ForwardAddress::Tcp(_))) {
            listening::tcp(&self.proc)?
        } else {
            Vec::new()
        };
        let unix = if any(|address| matches!(address, ForwardAddress::Unix(_))) {
            listening::unix(&self.proc)?
        } else {
            Vec::new()
        };
        Ok((tcp, unix))
    }
}

impl Watched {
    /// Whose listener accepts here, if any does.
    async fn accepting(&mut self, sight: Sight) -> Option<u32> {
        let accepts = match &self.last {
            Some((last, accepts)) if *last == sight => *accepts,
            _ if sight.sockets.is_empty() => false,
            _ if sight.doubtful => matches!(timeout(TRIAL_WITHIN, self.address.connect()).await, Ok(Ok(_))),
            _ => true,
        };
        let uid = sight.uid.filter(|_| accepts);
        self.last = Some((sight, accepts));
        uid
    }

    fn publish(&mut self, presence: Presence, activity: &Activity) {
        match presence {
            Presence::Present if self.session.is_none() => self.session = Some(activity.session()),
            Presence::Present => {}
            Presence::Absent | Presence::Foreign { .. } => self.session = None,
        }
        let changed = self.sender.send_if_modified(|shown| std::mem::replace(shown, presence) != presence);
        if !changed {
            return;
        }
        let address = &self.address;
        match presence {
            Presence::Present => tracing::info!(%address, "forward is there"),
            Presence::Absent => tracing::info!(%address, "forward is gone"),
            Presence::Foreign { uid } => {
                tracing::warn!(%address, uid, "another account listens here: it gets no requests");
            }
        }
    }
}

impl Sight {
    fn of_port(port: UpstreamPort, listening: &[TcpListening]) -> Self {
        let here =
            || listening.iter().filter(|l| l.port == port.get() && l.accepts_loopback() != Some(false));
        // A socket for 127.0.0.1 itself comes before one for all addresses.
        let chosen = here()
            .find(|l| l.address.is_loopback())
            .or_else(|| here().find(|l| l.accepts_loopback() == Some(true)))
            .or_else(|| here().next());
        chosen.map_or_else(Self::default, |listener| Self {
            uid: Some(listener.uid),
            file: None,
            sockets: vec![listener.inode],
            doubtful: listener.accepts_loopback().is_none(),
        })
    }

    /// sshd leaves the file when it ends, and puts a new one in the place of an old one that may still have its
    /// listener. The kernel does not say which socket a file belongs to, so this is sure only when both have
    /// come since a look that saw no listener.
    fn of_socket(path: &Path, listening: &[UnixListening], last: Option<&(Self, bool)>) -> Self {
        let Ok(metadata) = fs::symlink_metadata(path) else { return Self::default() };
        if !metadata.file_type().is_socket() {
            return Self::default();
        }
        let mut sockets: Vec<u64> = listening.iter().filter(|l| l.path == path).map(|l| l.inode).collect();
        sockets.sort_unstable();
        let file = Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()));
        let doubtful = match last {
            // The same state: the answer is kept, so the doubt must be, too.
            Some((last, _)) if last.file == file && last.sockets == sockets => last.doubtful,
            Some((last, _)) => sockets.len() > 1 || !last.sockets.is_empty() || last.file == file,
            None => true,
        };
        Self { uid: Some(metadata.uid()), file, sockets, doubtful }
    }
}

/// Who of those that listen is the owner. `holder` is the owner so far.
fn judge(owner: Owner, holder: &mut Option<u32>, uids: &[Option<u32>]) -> Vec<Presence> {
    *holder = match owner {
        Owner::Uid(uid) => Some(uid),
        Owner::FirstCome => {
            holder.filter(|uid| uids.contains(&Some(*uid))).or_else(|| uids.iter().flatten().next().copied())
        }
    };
    let presence = |uid: &Option<u32>| match *uid {
        None => Presence::Absent,
        Some(uid) if Some(uid) == *holder => Presence::Present,
        Some(uid) => Presence::Foreign { uid },
    };
    uids.iter().map(presence).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use proptest::prelude::*;

    use super::*;
    use crate::idle::BootClock;

    fn uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    /// A watch that looks when the test says so.
    fn watch_one(address: &ForwardAddress, owner: Owner) -> (Forwards, watch::Receiver<Presence>, Activity) {
        let forwards = Forwards::new([address.clone()], owner);
        let presence = forwards.watch(address).unwrap();
        (forwards, presence, Activity::new(BootClock))
    }

    #[tokio::test]
    async fn a_port_is_there_while_something_listens_and_is_never_connected_to() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = UpstreamPort::new(listener.local_addr().unwrap().port(), &[]).unwrap();
        let (mut forwards, presence, activity) = watch_one(&ForwardAddress::Tcp(port), Owner::Uid(uid()));
        assert_eq!(*presence.borrow(), Presence::Absent);

        forwards.look(&activity).await;
        assert_eq!(*presence.borrow(), Presence::Present);
        assert_eq!(activity.seen().sessions, 1);
        forwards.look(&activity).await;
        assert_eq!(activity.seen().sessions, 1);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);

        drop(listener);
        forwards.look(&activity).await;
        assert_eq!(*presence.borrow(), Presence::Absent);
        assert_eq!(activity.seen().sessions, 0);
    }

    #[tokio::test]
    async fn another_account_gets_nothing() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = UpstreamPort::new(listener.local_addr().unwrap().port(), &[]).unwrap();
        let (mut forwards, presence, activity) =
            watch_one(&ForwardAddress::Tcp(port), Owner::Uid(uid().wrapping_add(1)));
        forwards.look(&activity).await;
        assert_eq!(*presence.borrow(), Presence::Foreign { uid: uid() });
        assert!(!presence.borrow().is_present());
        assert_eq!(activity.seen().sessions, 0);
    }

    #[tokio::test]
    async fn a_listener_on_all_addresses_of_ipv6_counts_only_if_ipv4_reaches_it() {
        for only_v6 in [true, false] {
            let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
            socket.set_only_v6(only_v6).unwrap();
            socket.bind(&"[::]:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
            socket.listen(8).unwrap();
            let port = socket.local_addr().unwrap().as_socket().unwrap().port();
            let address = ForwardAddress::Tcp(UpstreamPort::new(port, &[]).unwrap());
            let (mut forwards, presence, activity) = watch_one(&address, Owner::FirstCome);
            forwards.look(&activity).await;
            assert_eq!(presence.borrow().is_present(), !only_v6);
        }
    }

    #[tokio::test]
    async fn sockets_appear_disappear_and_are_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let address = ForwardAddress::socket(folder.path(), "a").unwrap();
        let path = folder.path().join("a.sock");
        let (mut forwards, presence, activity) = watch_one(&address, Owner::Uid(uid()));
        let mut look = async || {
            forwards.look(&activity).await;
            *presence.borrow()
        };
        assert_eq!(look().await, Presence::Absent);

        let first = UnixListener::bind(&path).unwrap();
        first.set_nonblocking(true).unwrap();
        assert_eq!(look().await, Presence::Present);
        assert_eq!(look().await, Presence::Present);
        assert_eq!(first.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "a trial was not needed");

        // The file of a listener that is gone.
        drop(first);
        assert!(path.exists());
        assert_eq!(look().await, Presence::Absent);

        // A newer one takes over from one that has not noticed, as with `StreamLocalBindUnlink`.
        fs::remove_file(&path).unwrap();
        let stale = UnixListener::bind(&path).unwrap();
        assert_eq!(look().await, Presence::Present);
        fs::remove_file(&path).unwrap();
        let newer = UnixListener::bind(&path).unwrap();
        assert_eq!(look().await, Presence::Present);

        // The newer one goes: the path still stands beside the stale listener, but leads nowhere.
        drop(newer);
        assert_eq!(look().await, Presence::Absent);
        drop(stale);
        assert_eq!(look().await, Presence::Absent);

        // What is no socket is no forward.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(look().await, Presence::Absent);
    }

    #[tokio::test]
    async fn a_restarted_edge_is_not_fooled_by_what_it_finds() {
        let folder = tempfile::tempdir().unwrap();
        let address = ForwardAddress::socket(folder.path(), "a").unwrap();
        let path = folder.path().join("a.sock");
        let _stale = UnixListener::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        drop(UnixListener::bind(&path).unwrap());

        let (mut forwards, presence, activity) = watch_one(&address, Owner::Uid(uid()));
        forwards.look(&activity).await;
        assert_eq!(*presence.borrow(), Presence::Absent);
    }

    #[tokio::test]
    async fn a_nudge_causes_a_look_and_the_end_closes_the_watch() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = UpstreamPort::new(listener.local_addr().unwrap().port(), &[]).unwrap();
        let (forwards, mut presence, activity) = watch_one(&ForwardAddress::Tcp(port), Owner::FirstCome);
        let nudge = forwards.nudge();
        let stop = CancellationToken::new();
        let running = tokio::spawn(forwards.run(activity.clone(), stop.clone()));
        presence.wait_for(|presence| presence.is_present()).await.unwrap();

        drop(listener);
        nudge.look();
        presence.wait_for(|presence| !presence.is_present()).await.unwrap();
        stop.cancel();
        running.await.unwrap();
        assert!(presence.changed().await.is_err());
    }

    #[test]
    fn the_first_owner_stays_until_the_last_forward_is_gone() {
        let mut holder = None;
        let mut look = |uids: &[Option<u32>]| judge(Owner::FirstCome, &mut holder, uids);
        let foreign = |uid| Presence::Foreign { uid };
        assert_eq!(look(&[None, Some(7)]), [Presence::Absent, Presence::Present]);
        assert_eq!(look(&[Some(8), Some(7)]), [foreign(8), Presence::Present]);
        assert_eq!(look(&[Some(7), Some(7)]), [Presence::Present, Presence::Present]);
        assert_eq!(look(&[Some(8), None]), [Presence::Present, Presence::Absent]);
        assert_eq!(look(&[Some(8), Some(7)]), [Presence::Present, foreign(7)]);
    }

    proptest! {
        #[test]
        fn there_is_one_owner_at_a_time_whoever_comes_and_goes(
            looks in proptest::collection::vec(proptest::collection::vec(proptest::option::of(0u32..4), 3), 0..30),
            pinned in proptest::option::of(0u32..4),
        ) {
            let owner = pinned.map_or(Owner::FirstCome, Owner::Uid);
            let mut holder = None;
            let mut before: Option<u32> = None;
            for uids in looks {
                let judged = judge(owner, &mut holder, &uids);
                let mut present: Vec<u32> = uids.iter().zip(&judged)
                    .filter(|(_, presence)| presence.is_present()).filter_map(|(uid, _)| *uid).collect();
                present.dedup();
                prop_assert!(present.len() <= 1, "two owners: {:?}", present);
                if let Some(pinned) = pinned {
                    prop_assert!(present.iter().all(|uid| *uid == pinned));
                } else {
                    // Somebody owns as long as anybody listens, and it is who owned before if still there.
                    prop_assert_eq!(present.is_empty(), uids.iter().all(Option::is_none));
                    if let Some(before) = before.filter(|uid| uids.contains(&Some(*uid))) {
                        prop_assert_eq!(&present, &[before]);
                    }
                }
                before = present.first().copied();
            }
        }
    }
}
