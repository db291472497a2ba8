//! The inbox: verified events that wait for their upstream, kept on the disk.
//!
//! What must hold:
//!
//! - An event is acknowledged only when it is safe: sealed, written, and synced. Whatever kills the process at
//!   whatever instant, what was acknowledged is there afterwards.
//! - Events of one name and path are delivered in the order in which they were taken in, one at a time. While one
//!   waits, those that come later queue behind it.
//! - An event whose delivery was answered with 2xx is gone before the next one is sent, and the same delivery of the
//!   provider is known again for [`DONE_KEPT`].
//! - What is kept is bounded in count, bytes and age ([`Bounds`]). Where there is no room, or the disk fails, nothing
//!   is acknowledged, so that the provider tries again.
//!
//! `index` is what memory knows and decides, `file` the disk, `writer` the thread between the two, `deliver` what
//! hands events over. Which requests come here is decided in `http::parking`.

pub(crate) mod counter;
pub(crate) mod deliver;
mod file;
mod index;
mod record;
mod seal;
pub mod snapshot;
mod vault;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use irp_wire::{name::Hostname, tasks::Tasks};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    deliver::Delivery,
    file::FileError,
    index::{Counts, Entry, Queue},
    record::{Event, Head, Identity, Malformed},
    seal::{Broken, KeyError, Seal},
    snapshot::NoSnapshot,
    vault::{Vault, VaultError},
};
use self::{
    file::File,
    index::{Admitted, Index},
    writer::{Command, Writer},
};
use crate::certs::Clock;

/// How long the same delivery of a provider is known again after it was made: longer than Slack's last retry takes.
pub const DONE_KEPT: Duration = Duration::from_millis(DONE_KEPT_MS);
const DONE_KEPT_MS: u64 = 10 * 60 * 1000;

/// How long the thread may take to close the file.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// What may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many events.
    pub events: u64,
    /// How many bytes of them, headers included.
    pub bytes: u64,
    /// For how long each.
    pub age: Duration,
    /// After so many failed attempts an event is moved aside.
    pub attempts: u32,
}

impl Bounds {
    /// A weekend of a busy bot, on the smallest disk.
    pub const DEFAULT: Self =
        Self { events: 10_000, bytes: 64 * 1024 * 1024, age: Duration::from_secs(72 * 3600), attempts: 8 };
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why an event was not taken in; it must not be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParkError {
    /// There is no room.
    #[error("the inbox is full")]
    Full,
    /// Nothing is taken in any more.
    #[error("the inbox is closed: {0}")]
    Closed(&'static str),
    /// The disk failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The edge is stopping.
    #[error("the inbox is gone")]
    Gone,
}

/// What became of an event that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// It is kept under this number.
    New(u64),
    /// It was kept or delivered before: the provider tries again.
    Again,
}

/// Why an inbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder for it cannot be used.
    #[error("cannot use the state folder")]
    Folder(#[source] crate::certs::file_store::OpenError),
    /// There is no key.
    #[error("there is no key for the inbox")]
    Key(#[from] KeyError),
    /// The file is of no use.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is in it was sealed with another key.
    #[error("all {0} events of the inbox were sealed with another key")]
    OtherKey(usize),
}

/// The file of the inbox unless told otherwise; the dot keeps it apart from what a store keeps in the same folder.
const FILE: &str = ".inbox.redb";

/// What an edge is to keep, where, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file, in the folder for state. Only one edge at a time can have it open.
    pub file: PathBuf,
    /// What may be kept.
    pub bounds: Bounds,
    /// How it is delivered.
    pub delivery: Delivery,
}

impl Default for Settings {
    fn default() -> Self {
        Self { file: FILE.into(), bounds: Bounds::default(), delivery: Delivery::default() }
    }
}

/// Why a snapshot was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is none.
    #[error(transparent)]
    NoSnapshot(#[from] NoSnapshot),
    /// An event in it does not open.
    #[error("an event of the snapshot does not open")]
    Seal(#[from] Broken),
    /// What opens is no event.
    #[error("an event of the snapshot does not read")]
    Malformed(#[from] Malformed),
    /// The disk failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The edge is stopping.
    #[error("the inbox is gone")]
    Gone,
}

/// The inbox of an edge. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Inbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    index: Arc<Mutex<Index>>,
    commands: mpsc::UnboundedSender<Command>,
    changed: watch::Receiver<u64>,
    changes: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

impl Inbox {
    /// Opens the file at `path`, made now if it is not there.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(path: &Path, seal: Seal, bounds: Bounds, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let file = File::open(path)?;
        let mut index = Index::new(bounds, file.next()?);
        let (mut kept, mut broken) = (0_usize, Vec::new());
        file.each(|stored| {
            let plain = seal.open(stored.number, &stored.sealed).ok();
            match plain.and_then(|plain| Event::from_bytes(&plain).ok()) {
                Some(event) => {
                    kept += 1;
                    index.restore(stored.number, stored_entry(&stored, &event));
                }
                None => broken.push(stored.number),
            }
        })?;
        if kept == 0 && !broken.is_empty() {
            return Err(OpenError::OtherKey(broken.len()));
        }
        if !broken.is_empty() {
            tracing::error!(events = ?broken, "some events of the inbox are damaged and stay where they are");
        }
        for (identity, at) in file.done()? {
            index.note_done(identity, at);
        }
        if kept > 0 {
            tracing::info!(events = kept, "the inbox holds events from before");
        }
        let index = Arc::new(Mutex::new(index));
        let (changes, changed) = watch::channel(0);
        let (commands, received) = mpsc::unbounded_channel();
        let writer = Writer {
            file: Some(file),
            path: path.to_owned(),
            seal,
            index: Arc::clone(&index),
            changed: changes.clone(),
            owed: Vec::new(),
            failed_at: None,
        };
        let tasks = Tasks::new();
        tasks.work(move || writer.run(received));
        Ok(Self(Arc::new(Inner { index, commands, changed, changes, clock, tasks })))
    }

    /// Keeps `event`, and returns once it is safe. With `running` the attempt of the request itself goes on: the
    /// caller says with [`Self::delivered`] or [`Self::attempt_failed`] what became of it.
    ///
    /// # Errors
    ///
    /// See [`ParkError`]. If the caller does not wait for the end, the event may be kept all the same.
    pub async fn park(&self, event: Event, running: bool) -> Result<Parked, ParkError> {
        let entry = Entry { running, ..entry_of(&event) };
        let identity = entry.identity;
        let (reply, answer) = oneshot::channel();
        let (admitted, command) = {
            let now = self.now();
            let mut index = self.lock();
            let admitted = index.admit(entry, now)?;
            let command = match admitted {
                Admitted::Known => return Ok(Parked::Again),
                Admitted::New(number) => Command::Park { number, event: Box::new(event), reply },
                Admitted::Coming(_) => Command::Pass { reply },
            };
            // Under the lock, so that events reach the disk in the order of their numbers.
            (admitted, self.0.commands.send(command).is_ok())
        };
        if !command {
            if let Admitted::New(number) = admitted {
                self.lock().remove(number);
            }
            return Err(ParkError::Gone);
        }
        answer.await.map_err(|_| ParkError::Gone)??;
        match admitted {
            Admitted::New(number) => Ok(Parked::New(number)),
            // The one that came first may have failed meanwhile.
            _ => match identity.is_some_and(|identity| self.known(&identity)) {
                true => Ok(Parked::Again),
                false => Err(FileError::new("the same event could not be written").into()),
            },
        }
    }

    /// Whether this delivery of a provider is kept, or was delivered a moment ago.
    #[must_use]
    pub fn known(&self, identity: &Identity) -> bool {
        let now = self.now();
        matches!(self.lock().known(Some(identity), now), Some(Admitted::Known))
    }

    /// Whether events of this name and path wait: what comes later has to queue behind them.
    #[must_use]
    pub fn has_backlog(&self, host: &Hostname, path: &str) -> bool {
        self.lock().has_backlog(host, path)
    }

    /// The event of a queue that is next, where it can be delivered now.
    #[must_use]
    pub fn next(&self, queue: &Queue) -> Option<(u64, Entry)> {
        self.lock().next(queue)
    }

    /// Queues in which events wait.
    #[must_use]
    pub fn queues(&self) -> Vec<Queue> {
        self.lock().queues()
    }

    /// Reads an event; `None` when it is gone.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn read(&self, number: u64) -> Result<Option<Event>, ParkError> {
        Ok(self.ask(|reply| Command::Read { number, reply }).await??)
    }

    /// The upstream has answered with 2xx: the event is forgotten, and known again for a while. Returns once that is
    /// safe; where the disk fails it is remembered in memory, and written later.
    pub async fn delivered(&self, number: u64) {
        let now = self.now();
        let identity = self.lock().delivered(number, now);
        tracing::debug!(number, "an event was delivered");
        self.tell();
        let done = identity.map(|identity| (identity, now));
        let _ = self.ask(|reply| Command::Remove { number, done, reply }).await;
    }

    /// An attempt has failed; with `counts` it was the event's fault. Says how many have, and whether the event was
    /// moved aside.
    pub async fn attempt_failed(&self, number: u64, counts: bool) -> Option<(u32, bool)> {
        let state = self.lock().attempt_failed(number, counts);
        self.tell();
        let (attempts, failed) = state?;
        if counts {
            let _ = self.ask(|reply| Command::State { number, attempts, failed, reply }).await;
        }
        Some((attempts, failed))
    }

    /// The attempt of the request itself is over, and nobody knows how it ended.
    pub fn attempt_ended(&self, number: u64) {
        self.lock().attempt_failed(number, false);
        self.tell();
    }

    /// Lets an event that was moved aside wait again. Says whether it is there.
    pub async fn revive(&self, number: u64) -> bool {
        let is_there = self.lock().revive(number);
        self.tell();
        if is_there {
            let _ = self.ask(|reply| Command::State { number, attempts: 0, failed: false, reply }).await;
        }
        is_there
    }

    /// Forgets an event undelivered. Says whether it was there.
    pub async fn discard(&self, number: u64) -> bool {
        let was_there = self.lock().remove(number).is_some();
        self.tell();
        if was_there {
            let _ = self.ask(|reply| Command::Remove { number, done: None, reply }).await;
        }
        was_there
    }

    /// Forgets what is too old, and says how many events that were.
    pub async fn expire(&self) -> usize {
        let now = self.now();
        let old = self.lock().expired(now);
        for number in &old {
            self.discard(*number).await;
        }
        old.len()
    }

    /// How many events there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts(|_| true)
    }

    /// How many there are of these names.
    #[must_use]
    pub fn counts_of(&self, names: &[Hostname]) -> Counts {
        self.lock().counts(|host| names.contains(host))
    }

    /// How many wait to be delivered.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.lock().waiting()
    }

    /// All events with their numbers, the oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<(u64, Entry)> {
        self.lock().entries().map(|(number, entry)| (number, entry.clone())).collect()
    }

    /// Takes nothing more in, for this reason; what is there is delivered.
    pub fn close_door(&self, why: &'static str) {
        self.lock().close(why);
    }

    /// Changes with every change of the inbox.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.clone()
    }

    /// All that is kept, sealed as it is, in one piece; `None` where nothing is.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn export(&self) -> Result<Option<Vec<u8>>, ParkError> {
        let all = self.ask(|reply| Command::All { reply }).await??;
        Ok((!all.events.is_empty()).then(|| snapshot::write(all.origin, &all.events)))
    }

    /// Takes in what another machine has kept, behind what is here. A snapshot of this very file is passed over, since
    /// the file is the newer one; and so are deliveries that are known. Says how many events were taken in.
    ///
    /// # Errors
    ///
    /// When the bytes are no snapshot, were sealed with another key, or cannot be written.
    pub async fn import(&self, snapshot: &[u8]) -> Result<usize, ImportError> {
        let snapshot = snapshot::read(snapshot)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Import { snapshot, now: self.now(), reply };
        self.0.commands.send(command).map_err(|_| ImportError::Gone)?;
        let count = answer.await.map_err(|_| ImportError::Gone)??;
        self.tell();
        Ok(count)
    }

    /// Closes the file once all that was asked for is done.
    pub async fn close(&self) {
        let _ = self.0.commands.send(Command::Stop);
        if !self.0.tasks.shutdown(CLOSE_WITHIN).await.in_time {
            tracing::error!("the inbox does not close");
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, ParkError> {
        let (reply, answer) = oneshot::channel();
        self.0.commands.send(command(reply)).map_err(|_| ParkError::Gone)?;
        answer.await.map_err(|_| ParkError::Gone)
    }

    fn tell(&self) {
        self.0.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// The time, in milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        let since = self.0.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of an event that lies on the disk.
fn stored_entry(stored: &snapshot::Stored, event: &Event) -> Entry {
    Entry { attempts: stored.attempts, failed: stored.failed, durable: true, ..entry_of(event) }
}

fn entry_of(event: &Event) -> Entry {
    Entry {
        queue: Queue { host: event.head.host.clone(), path: event.head.path().to_owned() },
        provider: event.head.provider.clone(),
        kind: event.head.kind.clone(),
        identity: event.head.identity,
        size: event.size(),
        parked_at: event.head.parked_at,
        attempts: 0,
        failed: false,
        durable: false,
        running: false,
    }
}

#[cfg(test)]
mod tests;
