//! The set of host names that one certificate is for.

use std::{collections::BTreeSet, fmt};

/// How many names one certificate may have at most: what Let's Encrypt accepts.
pub const MAX_NAMES: usize = 100;

/// One to [`MAX_NAMES`] DNS names in lower case, sorted, without duplicates: two sets are equal exactly when
/// Let's Encrypt counts them as the same "exact set".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Names(Vec<String>);

impl Names {
    /// Builds the set. A name may begin with `*.`; such a name can only be proven by dns-01.
    ///
    /// # Errors
    ///
    /// When there are no names or too many, or one is not a DNS host name.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, NamesError> {
        let set = names.into_iter().map(|name| parse(name.as_ref())).collect::<Result<BTreeSet<_>, _>>()?;
        match set.len() {
            0 => Err(NamesError::None),
            count @ 1..=MAX_NAMES => {
                let mut names = Vec::with_capacity(count);
                names.extend(set);
                Ok(Self(names))
            }
            count => Err(NamesError::TooMany(count)),
        }
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The names, sorted.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// Why a list of names cannot be certified.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NamesError {
    /// The list is empty.
    #[error("a certificate needs at least one name")]
    None,
    /// The list has this many names.
    #[error("{0} names are too many for one certificate (at most {MAX_NAMES})")]
    TooMany(usize),
    /// This is not a DNS host name.
    #[error("{0:?} is not a host name that a certificate can be issued for")]
    NotAHostName(String),
}

/// RFC 1123: labels of letters, digits and inner hyphens, at most 63 each and 253 in all. No address, and no
/// final dot.
fn parse(name: &str) -> Result<String, NamesError> {
    let lower = name.to_ascii_lowercase();
    let host = lower.strip_prefix("*.").unwrap_or(&lower);
    let numeric_end = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if lower.len() > 253 || numeric_end || !host.split('.').all(is_label) {
        return Err(NamesError::NotAHostName(name.to_owned()));
    }
    Ok(lower)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_case_and_repetition_do_not_make_another_set() {
        let one = Names::new(["b.example", "A.example", "b.EXAMPLE"]).unwrap();
        assert_eq!(one, Names::new(["a.example", "b.example"]).unwrap());
        assert_eq!(one.to_string(), "a.example, b.example");
        assert!(Names::new(["*.a.example"]).is_ok());
    }

    #[test]
    fn what_no_ca_would_certify_is_refused() {
        assert_eq!(Names::new::<&str>([]), Err(NamesError::None));
        let long = format!("{}.example", "a".repeat(64));
        for bad in ["", ".", "a.", "a..b", "-a.example", "a_b.example", "127.0.0.1", "::1", "a.*.b", &long] {
            assert!(Names::new([bad]).is_err(), "{bad}");
        }
        let many = (0..=MAX_NAMES).map(|n| format!("n{n}.example"));
        assert_eq!(Names::new(many), Err(NamesError::TooMany(MAX_NAMES + 1)));
    }
}
