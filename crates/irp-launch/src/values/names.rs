//! The two halves of the public name.

use std::{fmt, str::FromStr};

use irp_wire::name::{Hostname, NameError};

use super::ValueError;

/// The longest label (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// The first label of the public name, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

/// The name of a hosted zone: at least two labels, in lower case, without a final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneName(Hostname);

impl Label {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole public name in `zone`.
    ///
    /// # Errors
    ///
    /// When both together are too long for a name.
    pub fn below(&self, zone: &ZoneName) -> Result<Hostname, NameError> {
        format!("{}.{}", self.0, zone.0).parse()
    }
}

impl FromStr for Label {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.contains('.') {
            return Err(ValueError::new(
                "has a dot in it, but is to be one label: the zone comes from HOSTED_ZONE_DOMAIN",
            ));
        }
        if text.len() > LABEL_MAX {
            return Err(ValueError::new("is too long for a DNS label"));
        }
        if text.is_empty() || text.starts_with('-') || text.ends_with('-') || !text.bytes().all(inner) {
            return Err(ValueError::new("is no DNS label"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ZoneName {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &Hostname {
        &self.0
    }
}

impl FromStr for ZoneName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.contains("://") {
            return Err(ValueError::new("has a scheme in it, but is to be a bare domain"));
        }
        if text.contains('/') {
            return Err(ValueError::new("has a path in it, but is to be a bare domain"));
        }
        let name: Hostname = text.parse().map_err(|error: NameError| {
            ValueError::new(match error {
                NameError::TooLong => "is too long for a domain",
                NameError::Address => "is an IP address and no domain",
                NameError::Empty | NameError::Character => "is no domain",
            })
        })?;
        if !name.as_str().contains('.') {
            return Err(ValueError::new("is a top-level domain, in which nobody has a hosted zone"));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_and_stands_below_its_zone() {
        let label: Label = "Alice-2".parse().unwrap();
        let zone: ZoneName = "Proxy.Example.com.".parse().unwrap();
        assert_eq!(label.below(&zone).unwrap().as_str(), "alice-2.proxy.example.com");
        for text in ["", "-a", "a-", "a_b", "a b", "é", "a.b", &"a".repeat(64), "$(id)", "a\nb"] {
            assert!(text.parse::<Label>().is_err(), "{text}");
        }
        let long: ZoneName = format!("{}com", format!("{}.", "a".repeat(60)).repeat(4)).parse().unwrap();
        assert!("a".repeat(63).parse::<Label>().unwrap().below(&long).is_err());
    }

    #[test]
    fn a_zone_is_a_bare_domain() {
        let why = |text: &str| text.parse::<ZoneName>().unwrap_err().to_string();
        assert!(why("https://example.com").starts_with("has a scheme"));
        assert!(why("example.com/").starts_with("has a path"));
        assert!(why("com").starts_with("is a top-level domain"));
        assert!(why("192.0.2.7").starts_with("is an IP address"));
        assert_eq!(why("example..com"), "is no domain");
    }
}
