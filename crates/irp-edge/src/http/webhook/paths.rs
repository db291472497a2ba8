//! Paths of policies. A path stands for itself and all below it, part by part: `/slack` for `/slack/events` and
//! not for `/slackers`.
//!
//! Frameworks differ in what they make of `//`, `/../`, `%2F` and capital letters. A request must not slip past
//! its rule to an upstream that reads the path in another way, so paths that could be read in two ways belong to
//! nobody, and rules do not heed case.

use std::{borrow::Cow, fmt};

/// The longest path of a policy, in bytes.
const PATH_MAX: usize = 256;

/// A path of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(String);

/// Why a text is no path of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no path: it begins with `/` and has no `//`, `..`, `%`, `?` or blanks in it")]
pub struct PathError(String);

impl Path {
    /// Takes a path; a slash at its end means nothing.
    ///
    /// # Errors
    ///
    /// When it could be read in two ways.
    pub fn new(text: &str) -> Result<Self, PathError> {
        let refused = || PathError(text.chars().take(PATH_MAX).collect());
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"%?#\\;".contains(&byte));
        if !text.starts_with('/') || !is_plain || text.len() > PATH_MAX || !has_plain_parts(text) {
            return Err(refused());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// This path and one part more.
    pub(super) fn join(&self, part: &str) -> Self {
        Self(format!("{}/{part}", self.0))
    }

    /// How long it is: of two paths that fit, the longer one counts.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `path`, which must be [`plain`], is this one or below it; `exactly` heeds case.
    pub(super) fn holds(&self, path: &str, exactly: bool) -> bool {
        let Some(start) = path.as_bytes().get(..self.0.len()) else { return false };
        let is_same =
            if exactly { start == self.0.as_bytes() } else { start.eq_ignore_ascii_case(self.0.as_bytes()) };
        is_same && matches!(path.as_bytes().get(self.0.len()), None | Some(b'/'))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

/// The path with its escapes decoded; `None` where it could be read in two ways.
pub(super) fn plain(path: &str) -> Option<Cow<'_, str>> {
    let decoded = if path.contains('%') { Cow::Owned(decode(path)?) } else { Cow::Borrowed(path) };
    // A semicolon begins a parameter that some servers take off (RFC 3986, section 3.3).
    let is_odd = |byte: u8| byte.is_ascii_control() || byte == b'\\' || byte == b'%' || byte == b';';
    (has_plain_parts(&decoded) && !decoded.bytes().any(is_odd)).then_some(decoded)
}

/// No empty part but the last, no `.` and no `..`.
fn has_plain_parts(path: &str) -> bool {
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        if matches!(part, "." | "..") || (part.is_empty() && !is_last) {
            return false;
        }
    }
    true
}

/// `None` where an escape is none, stands for a slash, or makes no text.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(tail.first_chunk::<2>()?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte == b'/' {
            return None;
        }
        bytes.push(byte);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_holds_what_is_below_it() {
        let slack = Path::new("/slack/").unwrap();
        for inside in ["/slack", "/slack/", "/slack/events", "/slack/events/"] {
            assert!(slack.holds(inside, true), "{inside}");
        }
        assert!(slack.holds("/Slack/Events", false) && !slack.holds("/Slack/Events", true));
        for outside in ["/", "", "/slackers", "/x/slack", "/sla"] {
            assert!(!slack.holds(outside, false), "{outside}");
        }
        let all = Path::new("/").unwrap();
        assert!(all.holds("/", true) && all.holds("/x", true));
        assert_eq!((slack.to_string(), all.to_string()), ("/slack".into(), "/".into()));
    }

    #[test]
    fn what_could_be_read_in_two_ways_belongs_to_nobody() {
        for odd in [
            "//slack",
            "/a//b",
            "/open/../slack",
            "/open/%2e%2e/slack",
            "/open/.",
            "/a%2fb",
            "/a\\b",
            "/a%5Cb",
            "/a%",
            "/a%zz",
            "/a%+f",
            "/a%00",
            "/a%252e",
            "/a;b",
            "/%ff",
        ] {
            assert_eq!(plain(odd), None, "{odd}");
        }
        assert_eq!(plain("/sl%61ck/events/").as_deref(), Some("/slack/events/"));
        assert_eq!(plain("/...").as_deref(), Some("/..."));
    }

    #[test]
    fn paths_of_policies_are_plain() {
        for wrong in
            ["", "slack", "/a//b", "/a/..", "/a%20b", "/a?b", "/a b", &format!("/{}", "x".repeat(256))]
        {
            assert!(Path::new(wrong).is_err(), "{wrong}");
        }
    }
}
