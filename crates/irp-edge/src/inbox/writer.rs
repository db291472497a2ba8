//! The thread that owns the file. Whatever waits when it comes round is written in one commit, so that many events
//! share one fsync; each caller hears of it only then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    DONE_KEPT_MS, ImportError,
    file::{Change, File, FileError},
    index::Index,
    record::{Event, Identity},
    seal::Seal,
    snapshot::{Snapshot, Stored},
    stored_entry,
};

/// How many commands share one commit at most.
const BATCH: usize = 256;
/// How many bytes of events share one commit, so that memory is bounded.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// How soon a file that failed is opened once more: a full disk is not mended in less.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// Tells that a change is on the disk, or why it is not.
type Reply = oneshot::Sender<Result<(), FileError>>;

/// What the thread is asked to do. Whoever does not wait for the answer any more gets it done all the same.
#[derive(Debug)]
pub(super) enum Command {
    /// Keep an event that the index has admitted.
    Park { number: u64, event: Box<Event>, reply: Reply },
    /// An event is gone; where it was delivered, its identity is remembered.
    Remove { number: u64, done: Option<(Identity, u64)>, reply: Reply },
    /// Keep what became of attempts.
    State { number: u64, attempts: u32, failed: bool, reply: Reply },
    /// Answer when all that was asked before is done.
    Pass { reply: Reply },
    /// Read an event.
    Read { number: u64, reply: oneshot::Sender<Result<Option<Event>, FileError>> },
    /// Read all of them, as they lie there.
    All { reply: oneshot::Sender<Result<Snapshot, FileError>> },
    /// Take in the events of another machine, at this time (milliseconds since 1970).
    Import { snapshot: Snapshot, now: u64, reply: oneshot::Sender<Result<usize, ImportError>> },
    /// Close the file.
    Stop,
}

/// The thread's own.
pub(super) struct Writer {
    pub(super) file: Option<File>,
    pub(super) path: std::path::PathBuf,
    pub(super) seal: Seal,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) changed: watch::Sender<u64>,
    /// Removals whose commit failed. They are true all the same, and go into the next one.
    pub(super) owed: Vec<Change>,
    pub(super) failed_at: Option<Instant>,
}

impl Writer {
    /// Works until it is told to stop, or nobody is left who could ask for anything.
    pub(super) fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let (mut batch, mut bytes) = (vec![first], 0);
            loop {
                if let Some(Command::Park { event, .. }) = batch.last() {
                    bytes += event.size();
                }
                if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                    break;
                }
                let Ok(next) = commands.try_recv() else { break };
                batch.push(next);
            }
            if self.work(batch) {
                return;
            }
        }
    }

    /// Does one batch; says whether it was the last.
    fn work(&mut self, batch: Vec<Command>) -> bool {
        let (mut changes, mut waiting, mut later) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_last = false;
        for command in batch {
            match command {
                Command::Park { number, event, reply } => match self.seal.seal(number, event.to_bytes()) {
                    Ok(sealed) => {
                        changes.push(Change::Put { number, sealed });
                        waiting.push((Some(number), reply));
                    }
                    Err(_) => {
                        self.lock().remove(number);
                        let _ = reply.send(Err(FileError::new("the system gives no randomness")));
                    }
                },
                Command::Remove { number, done, reply } => {
                    changes.push(Change::Remove { number, done });
                    waiting.push((None, reply));
                }
                Command::State { number, attempts, failed, reply } => {
                    changes.push(Change::State { number, attempts, failed });
                    waiting.push((None, reply));
                }
                Command::Pass { reply } => waiting.push((None, reply)),
                Command::Stop => is_last = true,
                Command::Read { .. } | Command::All { .. } | Command::Import { .. } => later.push(command),
            }
        }
        if !changes.is_empty() || !waiting.is_empty() {
            self.commit(changes, waiting);
        }
        for command in later {
            self.read(command);
        }
        is_last
    }

    fn commit(&mut self, changes: Vec<Change>, waiting: Vec<(Option<u64>, Reply)>) {
        let forget = changes.iter().find_map(|change| match change {
            Change::Remove { done: Some((_, at)), .. } => Some(at.saturating_sub(DONE_KEPT_MS)),
            _ => None,
        });
        let result = if changes.is_empty() { Ok(()) } else { self.write(&changes, forget) };
        if let Err(error) = &result {
            tracing::error!(%error, "the inbox cannot be written: events are not acknowledged");
            let removals = changes.into_iter().filter(|change| matches!(change, Change::Remove { .. }));
            self.owed.extend(removals);
        } else {
            self.owed.clear();
        }
        {
            let mut index = self.lock();
            for number in waiting.iter().filter_map(|(number, _)| *number) {
                match &result {
                    Ok(()) => index.set_durable(number),
                    Err(_) => drop(index.remove(number)),
                }
            }
        }
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
        for (_, reply) in waiting {
            let _ = reply.send(result.clone());
        }
    }

    fn write(&mut self, changes: &[Change], forget: Option<u64>) -> Result<(), FileError> {
        self.opened()?;
        let Some(file) = &self.file else { return Err(FileError::new("it is closed")) };
        let result = file.write(self.owed.iter().chain(changes), forget);
        self.judge(result)
    }

    fn read(&mut self, command: Command) {
        match command {
            Command::Read { number, reply } => {
                let sealed = self.opened().and_then(|file| file.read(number));
                let event = self.judge(sealed).and_then(|sealed| match sealed {
                    None => Ok(None),
                    Some(sealed) => {
                        let plain = self.seal.open(number, &sealed).map_err(FileError::new)?;
                        Event::from_bytes(&plain).map(Some).map_err(FileError::new)
                    }
                });
                let _ = reply.send(event);
            }
            Command::All { reply } => {
                let mut events = Vec::new();
                let read = self.opened().and_then(|file| {
                    file.each(|stored| events.push(stored))?;
                    file.origin()
                });
                let _ = reply.send(self.judge(read).map(|origin| Snapshot { origin, events }));
            }
            Command::Import { snapshot, now, reply } => {
                let _ = reply.send(self.import(snapshot, now));
            }
            _ => {}
        }
    }

    fn import(&mut self, snapshot: Snapshot, now: u64) -> Result<usize, ImportError> {
        if self.opened()?.origin()? == snapshot.origin {
            return Ok(0);
        }
        // One that does not open changes nothing, and stays where it is.
        let mut opened = Vec::new();
        for stored in snapshot.events {
            let plain = self.seal.open(stored.number, &stored.sealed)?;
            let entry = stored_entry(&stored, &Event::from_bytes(&plain)?);
            opened.push((stored, plain, entry));
        }
        let (mut changes, mut entries) = (Vec::new(), Vec::new());
        for (Stored { attempts, failed, .. }, plain, entry) in opened {
            let number = {
                let mut index = self.lock();
                if index.known(entry.identity.as_ref(), now).is_some() {
                    continue;
                }
                index.reserve()
            };
            let sealed = self.seal.seal(number, plain);
            let sealed = sealed.map_err(|_| FileError::new("the system gives no randomness"))?;
            changes.push(Change::Put { number, sealed });
            entries.push((number, entry));
            if attempts > 0 || failed {
                changes.push(Change::State { number, attempts, failed });
            }
        }
        self.write(&changes, None)?;
        let count = entries.len();
        let mut index = self.lock();
        for (number, entry) in entries {
            index.restore(number, entry);
        }
        Ok(count)
    }

    /// The file; one that failed is opened once more, if that was not tried a moment ago.
    fn opened(&mut self) -> Result<&File, FileError> {
        if let Some(failed_at) = self.failed_at {
            if failed_at.elapsed() < REOPEN_EVERY {
                return Err(FileError::new("it failed a moment ago"));
            }
            self.failed_at = Some(Instant::now());
            // Two cannot have it open, so the old one goes first.
            self.file = None;
            self.file = Some(File::open(&self.path)?);
            self.failed_at = None;
        }
        self.file.as_ref().ok_or_else(|| FileError::new("it is closed"))
    }

    /// After a failure redb refuses everything until the file is opened once more.
    fn judge<T>(&mut self, result: Result<T, FileError>) -> Result<T, FileError> {
        if result.is_err() && self.failed_at.is_none() {
            self.failed_at = Some(Instant::now());
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
