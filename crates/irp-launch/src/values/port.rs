//! The port of the loopback at which a tunnel comes out.

use std::{fmt, str::FromStr};

use super::ValueError;

/// Ports that no forward may come out at: ssh, and the public listeners.
pub const RESERVED_PORTS: [u16; 3] = [22, 80, 443];

/// A port from 1 to 65535, none of [`RESERVED_PORTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamPort(u16);

impl UpstreamPort {
    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl FromStr for UpstreamPort {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(0) => Err(ValueError::new("is no port")),
            Ok(port) if digits && RESERVED_PORTS.contains(&port) => {
                Err(ValueError::new("is a port that the machine itself needs"))
            }
            Ok(port) if digits => Ok(Self(port)),
            _ => Err(ValueError::new("is no port")),
        }
    }
}

impl fmt::Display for UpstreamPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_that_is_free() {
        assert_eq!("3000".parse::<UpstreamPort>().map(UpstreamPort::get), Ok(3000));
        for text in ["", "0", "22", "80", "443", "70000", "-1", "+3000", "3000 ", "http"] {
            assert!(text.parse::<UpstreamPort>().is_err(), "{text}");
        }
    }
}
