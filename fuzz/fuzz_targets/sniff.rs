//! The first bytes of a connection decide once: what was decided stands when more bytes come, and enough of
//! them always decide.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/irp-edge/src/sniff.rs"]
#[allow(dead_code, missing_docs, reason = "a module of the edge, of which not all is used here")]
mod sniff;

use sniff::{Protocol, SNIFF_MAX, sniff};

fuzz_target!(|data: &[u8]| {
    assert_eq!(sniff(&[]), None, "nothing decides nothing");
    let mut decided = None;
    for end in 0..=data.len().min(2 * SNIFF_MAX) {
        let found = sniff(&data[..end]);
        assert!(decided.is_none() || found == decided, "{decided:?} became {found:?}");
        assert!(found.is_some() || end < SNIFF_MAX, "undecided after {end} bytes");
        decided = found;
    }
    assert_eq!(decided == Some(Protocol::Tls), data.first() == Some(&0x16));
    assert!(decided != Some(Protocol::Ssh) || data.starts_with(b"SSH-"));
});
