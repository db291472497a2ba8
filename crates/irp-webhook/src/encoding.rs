//! How a signature is written: hex, base64, or as it stands.

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Two digits a byte, in either case.
    Hex,
    /// The standard alphabet with padding (RFC 4648, section 4).
    Base64,
    /// The bytes themselves.
    Text,
}

impl Encoding {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "hex" => Self::Hex,
            "base64" => Self::Base64,
            "text" => Self::Text,
            _ => return None,
        })
    }

    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => unhex(text),
            Self::Base64 => BASE64_STANDARD.decode(text).ok(),
            Self::Text => Some(text.as_bytes().to_vec()),
        }
    }

    /// `None` where the bytes are to stand as they are and are no text.
    pub(crate) fn encode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Hex => Some(hex(bytes)),
            Self::Base64 => Some(BASE64_STANDARD.encode(bytes)),
            Self::Text => std::str::from_utf8(bytes).ok().map(ToOwned::to_owned),
        }
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The value of each digit of hex; for all other bytes more than 15.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

/// Bytes from hex in either case.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut seen = 0;
    let byte = |[high, low]: &[u8; 2]| {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        seen |= high | low;
        high << 4 | low
    };
    let bytes = pairs.iter().map(byte).collect();
    (rest.is_empty() && seen < 16).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_either_case_and_written_in_lower() {
        assert_eq!(unhex("00fFA1"), Some(vec![0, 255, 161]));
        assert_eq!(hex(&[0, 255, 161]), "00ffa1");
        for wrong in ["0", "0g", " 00", "0x00", "é"] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn base64_is_the_standard_alphabet_with_padding() {
        assert_eq!(Encoding::Base64.decode("+/8="), Some(vec![0xfb, 0xff]));
        for wrong in ["-_8=", "+/8", "+/9=", "+/8=="] {
            assert_eq!(Encoding::Base64.decode(wrong), None, "{wrong}");
        }
    }
}
