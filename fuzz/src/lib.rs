//! What several targets need: keys that are the same in every run, frames, and headers from text.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use irp_wire::{hello::FRAME_MAX, key::SecretKey};

/// The head of a hello's frame: the magic word and the length.
const HEAD: usize = 6;

/// A key that is the same in every run, so that an input means the same in every run.
pub fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32]).expect("every seed is a key")
}

/// The result of a future that has nothing to wait for: its stream is in memory and ends.
pub fn finish<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("something is waited for that never comes"),
    }
}

/// A frame of the hello with this inside; `None` where it does not fit in a frame's length.
pub fn frame(json: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(json.len()).ok()?;
    Some([b"irp1", length.to_be_bytes().as_slice(), json].concat())
}

/// The inside of the frame at the start of `stream`, and what comes after the frame.
pub fn split_frame(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = stream.strip_prefix(b"irp1")?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if HEAD + length > FRAME_MAX { None } else { rest.split_at_checked(length) }
}

/// Where a reader that takes whole frames, and not a byte more, may stop in `stream`: after each frame, and
/// at last after the head of what is no frame, or at the end of a stream that is cut off.
pub fn stops(stream: &[u8]) -> Vec<usize> {
    let (mut stops, mut rest) = (Vec::new(), stream);
    while let Some((_, after)) = split_frame(rest) {
        rest = after;
        stops.push(stream.len() - rest.len());
    }
    let is_cut_off = match rest.first_chunk::<HEAD>() {
        None => true,
        Some([magic @ .., high, low]) => {
            magic == b"irp1" && HEAD + usize::from(u16::from_be_bytes([*high, *low])) <= FRAME_MAX
        }
    };
    stops.push(if is_cut_off { stream.len() } else { stream.len() - rest.len() + HEAD });
    stops
}

/// As bytes travel in JSON.
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Headers from lines of `name: value`; lines that are none are left out.
pub fn headers(text: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}
