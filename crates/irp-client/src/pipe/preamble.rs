//! The lines for people that a program prints before the bytes of the connection.
//!
//! `session-manager-plugin` prints `Starting session with SessionId: …` and, where the account says so, a line about
//! encryption. When something is wrong, it prints that instead of any bytes.

use tokio::io::ReadBuf;

use super::Opening;

/// The most that such lines may have, in bytes.
const TEXT_MAX: usize = 8 * 1024;

/// The content types of TLS records: no text has these bytes.
const TLS_RECORDS: std::ops::RangeInclusive<u8> = 20..=23;

/// How an SSH connection begins.
const SSH: &[u8] = b"SSH-";

/// What has come before the connection's bytes, and the first of those.
#[derive(Debug)]
pub(super) struct Preamble {
    opening: Opening,
    text: Vec<u8>,
    over: bool,
    /// Bytes of the connection that came with the lines.
    first: Vec<u8>,
}

impl Preamble {
    pub(super) fn new(opening: Opening) -> Self {
        Self { opening, text: Vec::new(), over: false, first: Vec::new() }
    }

    /// Takes what was read; false when it is too long to be lines for people.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        // A line may come in two reads, so what came before is looked at again.
        let searched = self.text.len().saturating_sub(SSH.len());
        self.text.extend_from_slice(bytes);
        if let Some(at) = self.beginning(searched) {
            self.first = self.text.split_off(at);
            self.over = true;
        }
        self.text.len() <= TEXT_MAX
    }

    fn beginning(&self, searched: usize) -> Option<usize> {
        match self.opening {
            Opening::Tls => self.text.iter().position(|byte| TLS_RECORDS.contains(byte)),
            Opening::Ssh => (searched..self.text.len())
                .find(|at| self.text[*at..].starts_with(SSH) && (*at == 0 || self.text[*at - 1] == b'\n')),
        }
    }

    /// Whether the connection's bytes have begun.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Gives first bytes that are left; says whether there were any.
    pub(super) fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.first.is_empty() {
            return false;
        }
        let count = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..count]);
        self.first.drain(..count);
        true
    }

    /// The lines, without what could disturb a terminal.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.text);
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINES: &[u8] = b"\nStarting session with SessionId: alice-0123\nThis session is encrypted.\n";

    fn given(preamble: &mut Preamble) -> Vec<u8> {
        let mut all = Vec::new();
        let mut room = [0; 3];
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            if !preamble.give(&mut buffer) {
                return all;
            }
            all.extend_from_slice(buffer.filled());
        }
    }

    proptest! {
        #[test]
        fn lines_come_off_however_they_arrive(cut in 1..LINES.len(), ssh: bool, lines: bool) {
            let (opening, own): (_, &[u8]) =
                if ssh { (Opening::Ssh, b"SSH-2.0-x\r\n") } else { (Opening::Tls, b"\x16\x03\x03\n") };
            let all = [if lines { LINES } else { b"" }, own].concat();
            let mut preamble = Preamble::new(opening);
            let mut rest = Vec::new();
            for part in all.chunks(cut) {
                if preamble.is_over() {
                    rest.extend_from_slice(part);
                } else {
                    prop_assert!(preamble.take(part));
                }
            }
            let mut got = given(&mut preamble);
            got.extend(rest);
            prop_assert_eq!(got, own);
            prop_assert_eq!(preamble.text().contains("alice-0123"), lines);
        }
    }

    #[test]
    fn ssh_within_a_line_is_text() {
        let mut preamble = Preamble::new(Opening::Ssh);
        assert!(preamble.take(b"no SSH-2.0 here\n"));
        assert!(!preamble.is_over());
    }

    #[test]
    fn lines_have_an_end() {
        let mut preamble = Preamble::new(Opening::Tls);
        assert!(preamble.take(&[b'a'; TEXT_MAX]));
        assert!(!preamble.take(b"a"));
    }
}
