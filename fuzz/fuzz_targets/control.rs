//! The control stream says the same however the network cuts it, and what was understood can be said again.
//!
//! Input: the length of the cuts in a byte, then the stream. A byte FF, which JSON cannot hold, stands for
//! 4 KiB of blanks, so that lines beyond the limit come about.

#![no_main]

use std::fmt::Debug;

use irp_wire::control::{self, ClientMessage, ControlError, Decoder, EdgeMessage};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const BLANKS: [u8; 4096] = [b' '; 4096];

/// More of them would only cost time.
const BLANKS_MAX: usize = 8;

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let stream = spread(stream);
    let cut = usize::from(*cut) + 1;
    check::<EdgeMessage>(&stream, cut);
    check::<ClientMessage>(&stream, cut);
    assert_eq!(decode::<Value>(&stream, cut), decode::<Value>(&stream, stream.len().max(1)));
});

fn spread(stream: &[u8]) -> Vec<u8> {
    let mut left = BLANKS_MAX;
    let mut spread = Vec::with_capacity(stream.len());
    for byte in stream {
        if *byte == 0xFF && left > 0 {
            left -= 1;
            spread.extend_from_slice(&BLANKS);
        } else {
            spread.push(*byte);
        }
    }
    spread
}

fn check<M>(stream: &[u8], cut: usize)
where
    M: serde::de::DeserializeOwned + serde::Serialize + Debug + PartialEq,
{
    let found = decode::<M>(stream, cut);
    assert_eq!(found, decode::<M>(stream, stream.len().max(1)));
    for message in found.0 {
        let line = control::encode(&message);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(decode::<M>(&line, line.len()), (vec![message], Ok(())));
    }
}

fn decode<M>(stream: &[u8], cut: usize) -> (Vec<M>, Result<(), ControlError>)
where
    M: serde::de::DeserializeOwned + Debug,
{
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for part in stream.chunks(cut) {
        decoder.push(part);
        loop {
            match decoder.message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(()))
}
