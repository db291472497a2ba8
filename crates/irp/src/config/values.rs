//! Times and sizes as people write them.

use std::{fmt, str::FromStr, time::Duration};

use serde::Deserialize;

/// A span of time: a number and its unit, `250ms`, `5s`, `1.5m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(Duration);

/// A number of bytes: `65536`, `64KiB`, `1.5 MiB`, `5GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(u64);

/// Why a text is no time or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    /// No span of time.
    #[error("`{0}` is no span of time: write a number and ms, s, m, h or d, such as `5s`")]
    Span(String),
    /// No number of bytes.
    #[error(
        "`{0}` is no size: write a number of bytes, or one with KiB, MiB, GiB, kB, MB or GB, such as `64KiB`"
    )]
    Bytes(String),
}

/// The longest span that is taken, in seconds: a year. More is a slip of the keyboard.
const SPAN_MOST_S: f64 = 366.0 * 86_400.0;

/// The greatest size that is taken, in bytes: exact in a floating-point number.
const BYTES_MOST: f64 = 9_007_199_254_740_992.0;

impl Span {
    /// The span.
    pub(crate) fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Span(text.chars().take(40).collect());
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let unit = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let seconds = number * unit;
        if seconds > SPAN_MOST_S { Err(wrong()) } else { Ok(Self(Duration::from_secs_f64(seconds))) }
    }
}

impl TryFrom<String> for Span {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl Bytes {
    /// The number.
    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Bytes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Bytes(text.chars().take(40).collect());
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let unit = match unit {
            "" | "B" => 1.0,
            "kB" | "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "KiB" | "K" => 1024.0,
            "MiB" | "M" => 1_048_576.0,
            "GiB" | "G" => 1_073_741_824.0,
            _ => return Err(wrong()),
        };
        let bytes = number * unit;
        if bytes > BYTES_MOST {
            return Err(wrong());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
        Ok(Self(bytes.round() as u64))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl serde::de::Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as `64KiB`, or a number of bytes")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Bytes, E> {
        u64::try_from(number).map(Bytes).map_err(|_| E::custom(ValueError::Bytes(number.to_string())))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
        text.parse().map_err(E::custom)
    }
}

/// The number, and what follows it. Only plain numbers: no sign, no exponent, no `inf`.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_a_number_and_a_unit() {
        let span = |text: &str| text.parse::<Span>().map(Span::get);
        assert_eq!(span("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(span(" 5 s"), Ok(Duration::from_secs(5)));
        assert_eq!(span("1.5h"), Ok(Duration::from_secs(5_400)));
        assert_eq!(span("0s"), Ok(Duration::ZERO));
        for wrong in ["", "5", "s", "-1s", "1e3s", "infs", "nans", "1..2s", "5 parsecs", "9999999d"] {
            assert_eq!(span(wrong), Err(ValueError::Span(wrong.into())));
        }
    }

    #[test]
    fn sizes_are_a_number_and_perhaps_a_unit() {
        let bytes = |text: &str| text.parse::<Bytes>().map(Bytes::get);
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1.5 MiB"), Ok(1_572_864));
        assert_eq!(bytes("5GB"), Ok(5_000_000_000));
        for wrong in ["", "KiB", "-1", "1e9", "5 apples", "99999999GiB"] {
            assert_eq!(bytes(wrong), Err(ValueError::Bytes(wrong.into())));
        }
    }
}
