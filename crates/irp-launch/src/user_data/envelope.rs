//! The limit of EC2, and what is done beyond it.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, GzBuilder};

/// The most bytes of user-data that EC2 takes, before its own base64 (EC2 User Guide, "user data").
pub const MAX_BYTES: usize = 16_384;

/// How long a line of base64 may be (RFC 2045, section 6.8).
const LINE: usize = 76;

/// User-data that no form makes small enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "user-data would have {bytes} bytes even compressed, and EC2 takes {MAX_BYTES}: is one of the URLs very long?"
)]
pub struct TooLarge {
    /// How many bytes it would have.
    pub bytes: usize,
}

/// The text as it is while it is short enough; beyond that a MIME message with one compressed part. It stays text,
/// since AWS's CLI reads `file://` as text.
pub(super) fn fit(config: String) -> Result<String, TooLarge> {
    if config.len() <= MAX_BYTES {
        return Ok(config);
    }
    let message = message(&config);
    if message.len() <= MAX_BYTES { Ok(message) } else { Err(TooLarge { bytes: message.len() }) }
}

fn message(config: &str) -> String {
    // No name and no time in its header: the same settings make the same user-data.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    let packed = gzip.write_all(config.as_bytes()).and_then(|()| gzip.finish()).unwrap_or_default();
    let coded = BASE64_STANDARD.encode(packed);
    let mut message = "Content-Type: multipart/mixed; boundary=\"irp-user-data\"\nMIME-Version: 1.0\n\n\
        --irp-user-data\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n"
        .to_owned();
    for line in coded.as_bytes().chunks(LINE) {
        message.push_str(&String::from_utf8_lossy(line));
        message.push('\n');
    }
    message.push_str("--irp-user-data--\n");
    message
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_short_stays_as_it_is() {
        let text = "#cloud-config\n".to_owned() + &"x".repeat(MAX_BYTES - 14);
        assert_eq!(fit(text.clone()), Ok(text));
    }

    #[test]
    fn what_is_long_is_packed_and_can_be_unpacked() {
        let text = "#cloud-config\n".to_owned() + &"x".repeat(MAX_BYTES);
        let message = fit(text.clone()).unwrap();
        assert!(message.len() < 1_000 && message.is_ascii());
        let coded = message.split("\n\n").nth(2).unwrap().split("--").next().unwrap().replace('\n', "");
        let mut unpacked = String::new();
        let packed = BASE64_STANDARD.decode(coded).unwrap();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
    }

    #[test]
    fn what_cannot_be_packed_is_refused() {
        let mut number = 1_u64;
        let noise: String = std::iter::repeat_with(|| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from((number >> 33) % 90).unwrap())
        })
        .take(40_000)
        .collect();
        assert!(fit(noise).unwrap_err().to_string().contains("16384"));
    }
}
