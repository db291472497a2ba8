//! Tells by the first bytes what a connection on the public port speaks.

use std::{io, time::Duration};

use tokio::{net::TcpStream, time};

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A TLS record of type handshake (RFC 8446, section 5.1).
    Tls,
    /// An SSH identification string (RFC 4253, section 4.2).
    Ssh,
    /// An HTTP/1 request without TLS.
    Http,
    /// Nothing that is served here.
    Unknown,
}

/// How many first bytes decide at the latest.
pub const SNIFF_MAX: usize = 8;

/// How long to wait before looking again at a connection that sent less than decides.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Decides on the first bytes of a connection; `None` while more of them are needed.
#[must_use]
pub fn sniff(first: &[u8]) -> Option<Protocol> {
    const METHODS: [&[u8]; 9] =
        [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"PRI * "];
    if first.is_empty() {
        return None;
    }
    if first[0] == 0x16 {
        return Some(Protocol::Tls);
    }
    let known = std::iter::once((Protocol::Ssh, b"SSH-".as_slice()))
        .chain(METHODS.map(|method| (Protocol::Http, method)));
    let mut undecided = false;
    for (protocol, word) in known {
        if first.starts_with(word) {
            return Some(protocol);
        }
        undecided |= word.starts_with(first);
    }
    if undecided && first.len() < SNIFF_MAX { None } else { Some(Protocol::Unknown) }
}

/// Looks at the first bytes of `stream` and leaves them there. The caller bounds the time.
///
/// # Errors
///
/// When the connection ends or breaks before the first bytes decide.
pub async fn peek(stream: &TcpStream) -> io::Result<Protocol> {
    let mut first = [0; SNIFF_MAX];
    loop {
        let count = stream.peek(&mut first).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(protocol) = sniff(&first[..count]) {
            return Ok(protocol);
        }
        // The bytes that are there keep the socket readable, so waiting for readiness would not wait.
        time::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_bytes_decide() {
        assert_eq!(sniff(b"\x16\x03\x01"), Some(Protocol::Tls));
        assert_eq!(sniff(b"SSH-2.0-OpenSSH_9.2"), Some(Protocol::Ssh));
        assert_eq!(sniff(b"GET / HT"), Some(Protocol::Http));
        assert_eq!(sniff(b"\0"), Some(Protocol::Unknown));
        for undecided in [b"".as_slice(), b"S", b"SSH", b"P", b"OPTIONS"] {
            assert_eq!(sniff(undecided), None, "{undecided:?}");
        }
    }

    proptest! {
        #[test]
        fn the_longest_look_always_decides(bytes in proptest::collection::vec(any::<u8>(), SNIFF_MAX)) {
            prop_assert!(sniff(&bytes).is_some());
        }

        #[test]
        fn a_decision_stands_when_more_bytes_come(bytes in proptest::collection::vec(any::<u8>(), 1..16), cut in 1usize..16) {
            let cut = cut.min(bytes.len());
            if let Some(early) = sniff(&bytes[..cut]) {
                prop_assert_eq!(sniff(&bytes), Some(early));
            }
        }
    }
}
