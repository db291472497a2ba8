//! Host names, as visitors type them and as tunnels claim them.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest host name, in bytes of text without the final dot (RFC 1035, section 2.3.4).
pub const NAME_MAX: usize = 253;

/// A host name in lower case, without a final dot: labels of letters, digits and inner hyphens (RFC 1123).
///
/// An IP address in text is not a host name, except that all-digit labels are allowed where a label with
/// a letter follows. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(Arc<str>);

/// Why a text is no host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Longer than [`NAME_MAX`], or a label longer than 63 bytes.
    #[error("it is too long: at most 253 characters, and 63 between two dots")]
    TooLong,
    /// A label is empty, begins or ends with a hyphen, or holds another character.
    #[error("only letters, digits, dots and inner hyphens are allowed")]
    Character,
    /// It reads as an IP address.
    #[error("an IP address is not a host name")]
    Address,
}

impl Hostname {
    /// The text, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `localhost` or below it (RFC 6761, section 6.3).
    #[must_use]
    pub fn is_localhost(&self) -> bool {
        self.as_str() == "localhost" || self.as_str().ends_with(".localhost")
    }
}

impl FromStr for Hostname {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong);
        }
        for label in text.split('.') {
            check_label(label)?;
        }
        let last = text.rsplit('.').next().unwrap_or(text);
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NameError::Address);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

fn check_label(label: &str) -> Result<(), NameError> {
    if label.len() > 63 {
        return Err(NameError::TooLong);
    }
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if label.is_empty() || label.starts_with('-') || label.ends_with('-') || !label.bytes().all(inner) {
        return Err(NameError::Character);
    }
    Ok(())
}

impl TryFrom<String> for Hostname {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// Lets a map with `Hostname` keys be asked with a `&str` in lower case, without an allocation.
impl Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Hostname {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a key may claim: one name, or with `*.` in front every name exactly one label below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    below: bool,
    name: Hostname,
}

impl NamePattern {
    /// Whether `name` may be claimed under this pattern.
    #[must_use]
    pub fn matches(&self, name: &Hostname) -> bool {
        if !self.below {
            return self.name == *name;
        }
        name.as_str().split_once('.').is_some_and(|(_, parent)| parent == self.name.as_str())
    }
}

impl From<Hostname> for NamePattern {
    fn from(name: Hostname) -> Self {
        Self { below: false, name }
    }
}

impl FromStr for NamePattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        Ok(Self { below, name: name.parse()? })
    }
}

impl TryFrom<String> for NamePattern {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.below { write!(f, "*.{}", self.name) } else { self.name.fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<Hostname, NameError> {
        text.parse()
    }

    #[test]
    fn names_are_lower_case_without_final_dot() {
        assert_eq!(name("Alice.Proxy.Example.COM.").unwrap().as_str(), "alice.proxy.example.com");
        assert_eq!(name("localhost").unwrap().as_str(), "localhost");
        assert_eq!(name("1.2.3.example").unwrap().as_str(), "1.2.3.example");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(name(""), Err(NameError::Empty));
        assert_eq!(name("127.0.0.1"), Err(NameError::Address));
        for text in ["a..b", ".a", "-a.b", "a-.b", "a_b", "a b", "[::1]", "a:1", "a/b", "é.com"] {
            assert_eq!(name(text), Err(NameError::Character), "{text}");
        }
        assert_eq!(name(&"a".repeat(64)), Err(NameError::TooLong));
        assert_eq!(name(&format!("{}a", "a.".repeat(127))), Err(NameError::TooLong));
    }

    #[test]
    fn a_star_stands_for_one_label() {
        let pattern: NamePattern = "*.example.com".parse().unwrap();
        assert!(pattern.matches(&name("a.example.com").unwrap()));
        assert!(!pattern.matches(&name("a.b.example.com").unwrap()));
        assert!(!pattern.matches(&name("example.com").unwrap()));
        assert!("*.*.com".parse::<NamePattern>().is_err());
        assert_eq!(pattern.to_string(), "*.example.com");
    }
}
