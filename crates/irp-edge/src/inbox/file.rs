//! The file of the inbox: three tables of redb. A commit is on the disk when it returns (one fsync), or it has not
//! happened; a process that is killed in the midst of one finds the state before it.

use std::{io, path::Path};

use aws_lc_rs::rand;
use irp_wire::private;
use redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, backends::FileBackend,
};

use super::{record::Identity, snapshot::Stored};

/// Sealed events by their numbers.
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
/// Failed attempts, and whether an event was moved aside; where there is nothing, none and not.
const STATES: TableDefinition<'_, u64, (u32, bool)> = TableDefinition::new("states");
/// Deliveries that were made, with their time in milliseconds since 1970.
const DONE: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("done");
/// Single numbers: which event comes next.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const NEXT: &str = "next";
/// A random number that tells this file from all others.
const ORIGIN: TableDefinition<'_, &str, u128> = TableDefinition::new("origin");
const OWN: &str = "own";

/// What redb may keep in memory; its own default is 1 GiB.
const CACHE: usize = 4 * 1024 * 1024;

/// The open file.
#[derive(Debug)]
pub(super) struct File {
    database: Database,
}

/// Something to be written.
#[derive(Debug)]
pub(super) enum Change {
    /// An event, sealed.
    Put { number: u64, sealed: Vec<u8> },
    /// An event is gone; where it was delivered, its identity is remembered.
    Remove { number: u64, done: Option<(Identity, u64)> },
    /// Attempts were made, or it was moved aside or back.
    State { number: u64, attempts: u32, failed: bool },
}

/// The file failed; what the system or redb says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file of the inbox failed: {0}")]
pub struct FileError(String);

impl FileError {
    pub(super) fn new(why: impl ToString) -> Self {
        Self(why.to_string())
    }

    fn of(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            // redb locks the file.
            redb::Error::DatabaseAlreadyOpen => Self::new("another edge on this machine has it open"),
            error => Self::new(error),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl File {
    /// Opens the file, made for this account alone if it is not there, and puts it right after a crash.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let file = private::options().read(true).write(true).create(true).truncate(false).open(path)?;
        private::narrow_file(path)?;
        let backend = FileBackend::new(file).map_err(FileError::of)?;
        let database = Builder::new().set_cache_size(CACHE).create_with_backend(backend);
        let this = Self { database: database.map_err(FileError::of)? };
        this.furnish()?;
        Ok(this)
    }

    /// Makes the tables, and the file's own number, where they are not there.
    fn furnish(&self) -> Result<(), FileError> {
        let writing = self.database.begin_write().map_err(FileError::of)?;
        writing.open_table(EVENTS).map_err(FileError::of)?;
        writing.open_table(STATES).map_err(FileError::of)?;
        writing.open_table(DONE).map_err(FileError::of)?;
        writing.open_table(NUMBERS).map_err(FileError::of)?;
        {
            let mut origin = writing.open_table(ORIGIN).map_err(FileError::of)?;
            if origin.get(OWN).map_err(FileError::of)?.is_none() {
                let mut number = [0; 16];
                rand::fill(&mut number).map_err(|_| FileError::new("the system gives no randomness"))?;
                origin.insert(OWN, u128::from_be_bytes(number)).map_err(FileError::of)?;
            }
        }
        writing.commit().map_err(FileError::of)
    }

    /// Writes all of it, or nothing.
    pub(super) fn write<'a>(
        &self,
        changes: impl Iterator<Item = &'a Change>,
        forget_before: Option<u64>,
    ) -> Result<(), FileError> {
        let writing = self.database.begin_write().map_err(FileError::of)?;
        {
            let mut events = writing.open_table(EVENTS).map_err(FileError::of)?;
            let mut states = writing.open_table(STATES).map_err(FileError::of)?;
            let mut done = writing.open_table(DONE).map_err(FileError::of)?;
            let mut numbers = writing.open_table(NUMBERS).map_err(FileError::of)?;
            for change in changes {
                match change {
                    Change::Put { number, sealed } => {
                        events.insert(number, sealed.as_slice()).map_err(FileError::of)?;
                        let next = numbers.get(NEXT).map_err(FileError::of)?.map_or(0, |next| next.value());
                        numbers.insert(NEXT, next.max(number + 1)).map_err(FileError::of)?;
                    }
                    Change::Remove { number, done: delivered } => {
                        events.remove(number).map_err(FileError::of)?;
                        states.remove(number).map_err(FileError::of)?;
                        if let Some((identity, at)) = delivered {
                            done.insert(identity, at).map_err(FileError::of)?;
                        }
                    }
                    Change::State { number, attempts, failed } => {
                        states.insert(number, (*attempts, *failed)).map_err(FileError::of)?;
                    }
                }
            }
            if let Some(before) = forget_before {
                done.retain(|_, at| at >= before).map_err(FileError::of)?;
            }
        }
        writing.commit().map_err(FileError::of)
    }

    /// The number of the next event.
    pub(super) fn next(&self) -> Result<u64, FileError> {
        let reading = self.database.begin_read().map_err(FileError::of)?;
        let numbers = reading.open_table(NUMBERS).map_err(FileError::of)?;
        let next = numbers.get(NEXT).map_err(FileError::of)?;
        Ok(next.map_or(1, |next| next.value()))
    }

    /// What tells this file from all others.
    pub(super) fn origin(&self) -> Result<u128, FileError> {
        let reading = self.database.begin_read().map_err(FileError::of)?;
        let table = reading.open_table(ORIGIN).map_err(FileError::of)?;
        let origin = table.get(OWN).map_err(FileError::of)?;
        origin.map(|origin| origin.value()).ok_or_else(|| FileError::new("it has no number of its own"))
    }

    /// One event.
    pub(super) fn read(&self, number: u64) -> Result<Option<Vec<u8>>, FileError> {
        let reading = self.database.begin_read().map_err(FileError::of)?;
        let events = reading.open_table(EVENTS).map_err(FileError::of)?;
        let sealed = events.get(number).map_err(FileError::of)?;
        Ok(sealed.map(|sealed| sealed.value().to_vec()))
    }

    /// Hands every event to `take`, the oldest first.
    pub(super) fn each(&self, mut take: impl FnMut(Stored)) -> Result<(), FileError> {
        let reading = self.database.begin_read().map_err(FileError::of)?;
        let events = reading.open_table(EVENTS).map_err(FileError::of)?;
        let states = reading.open_table(STATES).map_err(FileError::of)?;
        for event in events.iter().map_err(FileError::of)? {
            let (number, sealed) = event.map_err(FileError::of)?;
            let number = number.value();
            let state = states.get(number).map_err(FileError::of)?.map(|state| state.value());
            let (attempts, failed) = state.unwrap_or_default();
            take(Stored { number, sealed: sealed.value().to_vec(), attempts, failed });
        }
        Ok(())
    }

    /// Deliveries that were made, with their times, the oldest first.
    pub(super) fn done(&self) -> Result<Vec<(Identity, u64)>, FileError> {
        let reading = self.database.begin_read().map_err(FileError::of)?;
        let table = reading.open_table(DONE).map_err(FileError::of)?;
        let mut done = Vec::new();
        for entry in table.iter().map_err(FileError::of)? {
            let (identity, at) = entry.map_err(FileError::of)?;
            done.push((*identity.value(), at.value()));
        }
        done.sort_by_key(|(_, at)| *at);
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn what_was_written_is_there_after_a_reopen() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::open(&folder.path().join("inbox.redb")).unwrap();
        assert_eq!(file.next().unwrap(), 1);
        let changes = [
            Change::Put { number: 1, sealed: b"one".to_vec() },
            Change::Put { number: 2, sealed: b"two".to_vec() },
            Change::Put { number: 3, sealed: b"three".to_vec() },
            Change::State { number: 3, attempts: 8, failed: true },
            Change::Remove { number: 1, done: Some(([1; 32], 77)) },
            Change::Remove { number: 9, done: Some(([9; 32], 5)) },
        ];
        file.write(changes.iter(), Some(6)).unwrap();
        let origin = file.origin().unwrap();
        drop(file);
        let file = File::open(&folder.path().join("inbox.redb")).unwrap();
        assert_eq!(file.origin().unwrap(), origin);
        assert_ne!(File::open(&folder.path().join("other.redb")).unwrap().origin().unwrap(), origin);
        let mut found = Vec::new();
        file.each(|stored| found.push((stored.number, stored.sealed, stored.attempts, stored.failed)))
            .unwrap();
        assert_eq!(found, [(2, b"two".to_vec(), 0, false), (3, b"three".to_vec(), 8, true)]);
        assert_eq!(file.done().unwrap(), [([1; 32], 77)]);
        assert_eq!(file.next().unwrap(), 4);
        assert_eq!(file.read(2).unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(file.read(1).unwrap(), None);
        let mode = fs::metadata(folder.path().join("inbox.redb")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn one_file_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.redb");
        let _first = File::open(&path).unwrap();
        assert!(File::open(&path).unwrap_err().to_string().contains("another edge on this machine"));
    }

    #[test]
    fn a_file_that_is_none_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.redb");
        fs::write(&path, b"nothing of ours").unwrap();
        assert!(File::open(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"nothing of ours");
    }
}
