//! What the inbox reads back from its file and from a snapshot: an event or a snapshot that reads is written and read
//! again the same, and anything else is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/irp-edge/src/inbox/record.rs"]
#[allow(dead_code, missing_docs, reason = "a module of the edge, of which not all is used here")]
mod record;

#[path = "../../crates/irp-edge/src/inbox/snapshot.rs"]
#[allow(dead_code, missing_docs, reason = "a module of the edge, of which not all is used here")]
mod snapshot;

fuzz_target!(|data: &[u8]| {
    if let Ok(event) = record::Event::from_bytes(data) {
        assert_eq!(record::Event::from_bytes(&event.to_bytes()), Ok(event));
    }
    if let Ok(read) = snapshot::read(data) {
        assert_eq!(snapshot::read(&snapshot::write(read.origin, &read.events)), Ok(read));
    }
});
