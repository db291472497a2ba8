//! The inbox as one piece of bytes, for a place that outlives the machine: a first line that says what it is, the number
//! of the file that it was made of (16 bytes), then each event as number (8 bytes), failed attempts (4), whether it was
//! moved aside (1), length (4), all big-endian, and the sealed event of that length. It is of no use to anybody without
//! the key.

const FIRST_LINE: &[u8] = b"irp inbox 1\n";

/// The largest snapshot that is read, in bytes; larger than any inbox with sane bounds.
pub const SNAPSHOT_MAX: usize = 512 * 1024 * 1024;

/// An event as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub number: u64,
    /// The event, sealed.
    pub sealed: Vec<u8>,
    /// Attempts that failed.
    pub attempts: u32,
    /// Whether it was moved aside.
    pub failed: bool,
}

/// A snapshot as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Tells the file that it was made of from all others.
    pub origin: u128,
    /// What was kept, the oldest first.
    pub events: Vec<Stored>,
}

/// What was read is no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no snapshot of an inbox")]
pub struct NoSnapshot;

/// Writes the events of a file as one piece.
#[must_use]
pub fn write(origin: u128, events: &[Stored]) -> Vec<u8> {
    let bytes: usize = events.iter().map(|event| event.sealed.len() + 17).sum();
    let mut snapshot = Vec::with_capacity(FIRST_LINE.len() + 16 + bytes);
    snapshot.extend_from_slice(FIRST_LINE);
    snapshot.extend_from_slice(&origin.to_be_bytes());
    for event in events {
        let length = u32::try_from(event.sealed.len()).unwrap_or(u32::MAX);
        snapshot.extend_from_slice(&event.number.to_be_bytes());
        snapshot.extend_from_slice(&event.attempts.to_be_bytes());
        snapshot.push(event.failed.into());
        snapshot.extend_from_slice(&length.to_be_bytes());
        snapshot.extend_from_slice(&event.sealed);
    }
    snapshot
}

/// Reads them back.
///
/// # Errors
///
/// When it is no snapshot.
pub fn read(snapshot: &[u8]) -> Result<Snapshot, NoSnapshot> {
    let rest = snapshot.strip_prefix(FIRST_LINE).ok_or(NoSnapshot)?;
    let (origin, mut rest) = rest.split_first_chunk::<16>().ok_or(NoSnapshot)?;
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (number, tail) = rest.split_first_chunk::<8>().ok_or(NoSnapshot)?;
        let (attempts, tail) = tail.split_first_chunk::<4>().ok_or(NoSnapshot)?;
        let (failed, tail) = tail.split_first_chunk::<1>().ok_or(NoSnapshot)?;
        let (length, tail) = tail.split_first_chunk::<4>().ok_or(NoSnapshot)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NoSnapshot)?;
        let (sealed, tail) = tail.split_at_checked(length).ok_or(NoSnapshot)?;
        events.push(Stored {
            number: u64::from_be_bytes(*number),
            sealed: sealed.to_vec(),
            attempts: u32::from_be_bytes(*attempts),
            failed: failed[0] != 0,
        });
        rest = tail;
    }
    Ok(Snapshot { origin: u128::from_be_bytes(*origin), events })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_snapshot_is_read_back_and_a_damaged_one_is_none(
            origin: u128,
            events in proptest::collection::vec((any::<u64>(), any::<u32>(), any::<bool>(), 0..99_usize), 0..9),
        ) {
            let stored = |(number, attempts, failed, length)| Stored { number, sealed: vec![7; length], attempts, failed };
            let events: Vec<_> = events.into_iter().map(stored).collect();
            let snapshot = write(origin, &events);
            prop_assert_eq!(read(&snapshot), Ok(Snapshot { origin, events }));
            prop_assert_eq!(read(&snapshot[1..]), Err(NoSnapshot));
            prop_assert_eq!(read(&snapshot[..snapshot.len() - 1]), Err(NoSnapshot));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[FIRST_LINE, &bytes].concat());
        }
    }
}
