//! Cutting a stream into pieces that `session-manager-plugin` leaves alone.
//!
//! A piece has 2 to [`READ`] bytes, so it is one read and never the lone line feed that the plugin alters. What a
//! flush leaves over after whole pieces could be a single byte: the piece before it is made shorter then. Between two
//! flushes enough is kept back for that. Only when a writer flushes after a single byte, the piece has one: harmless,
//! unless it is a line feed, which waits for the byte behind it. TLS and SSH send nothing that short.

use bytes::{Buf as _, BytesMut};

use super::READ;

/// How much may wait, in bytes: some records of TLS.
const CAPACITY: usize = 64 * 1024;

/// So much stays until it is flushed: it can be cut well whatever follows.
const KEPT: usize = 2;

/// The only byte that cannot go alone.
const LINE_FEED: u8 = b'\n';

/// What waits to be sent.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    waiting: BytesMut,
}

impl Cutter {
    /// Takes as many bytes as there is room for.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(CAPACITY.saturating_sub(self.waiting.len()));
        self.waiting.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// The next piece, if there is one that can go. With `flush`, everything goes.
    pub(super) fn piece(&self, flush: bool) -> Option<&[u8]> {
        let waiting = self.waiting.len();
        let length = match waiting {
            0 => return None,
            1 if self.waiting[0] == LINE_FEED => return None,
            _ if !flush && waiting < READ + KEPT => return None,
            // A rest of one byte is avoided.
            _ if waiting == READ + 1 => READ - 1,
            _ => waiting.min(READ),
        };
        Some(&self.waiting[..length])
    }

    /// So much of the piece was sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.waiting.advance(count);
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// What a writer does.
    #[derive(Clone, Debug)]
    enum Step {
        Write(Vec<u8>),
        Flush,
    }

    fn step() -> impl Strategy<Value = Step> {
        // Lengths around the size of a read, and line feeds in every second byte: that is where it goes wrong.
        let length = prop_oneof![0..8_usize, 1018..1032_usize, 2040..2060_usize, 0..70_000_usize];
        let bytes = length.prop_flat_map(|length| {
            prop_oneof![
                Just(vec![LINE_FEED; length]),
                vec(prop_oneof![Just(LINE_FEED), any::<u8>()], length..=length)
            ]
        });
        prop_oneof![3 => bytes.prop_map(Step::Write), 2 => Just(Step::Flush)]
    }

    /// Everything that can go, as the pieces in which it goes.
    fn drain(cutter: &mut Cutter, flush: bool, pieces: &mut Vec<Vec<u8>>) {
        while let Some(piece) = cutter.piece(flush).map(<[u8]>::to_vec) {
            cutter.sent(piece.len());
            pieces.push(piece);
        }
    }

    proptest! {
        #[test]
        fn no_piece_is_a_lone_line_feed_or_longer_than_a_read_and_nothing_is_lost(steps in vec(step(), 0..12)) {
            let (mut cutter, mut pieces, mut written) = (Cutter::default(), Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Write(bytes) => {
                        let mut rest = &bytes[..];
                        while !rest.is_empty() {
                            let taken = cutter.push(rest);
                            rest = &rest[taken..];
                            drain(&mut cutter, false, &mut pieces);
                            prop_assert!(cutter.waiting.len() < READ + KEPT, "there is always room again");
                        }
                        written.extend(bytes);
                    }
                    Step::Flush => {
                        drain(&mut cutter, true, &mut pieces);
                        let rest = &cutter.waiting[..];
                        prop_assert!(rest.is_empty() || rest == [LINE_FEED]);
                    }
                }
            }
            for piece in &pieces {
                prop_assert!((1..=READ).contains(&piece.len()) && piece != &[LINE_FEED]);
            }
            let sent: Vec<u8> = pieces.into_iter().flatten().chain(cutter.waiting).collect();
            prop_assert!(sent == written);
        }

        /// What TLS does: it writes records, each of more than one byte, and flushes.
        #[test]
        fn whoever_flushes_after_two_bytes_or_more_waits_for_nothing(lengths in vec(2..5_000_usize, 0..40)) {
            let mut cutter = Cutter::default();
            for length in lengths {
                cutter.push(&vec![LINE_FEED; length]);
                let mut pieces = Vec::new();
                drain(&mut cutter, true, &mut pieces);
                prop_assert!(cutter.is_empty() && pieces.iter().all(|piece| piece.len() > 1));
            }
        }
    }

    #[test]
    fn a_line_feed_alone_waits_for_the_byte_behind_it() {
        let mut cutter = Cutter::default();
        cutter.push(b"\n");
        assert_eq!(cutter.piece(true), None);
        cutter.push(b"x");
        assert_eq!(cutter.piece(true), Some(&b"\nx"[..]));
    }
}
