//! How words are written where ssh reads them. `%` begins a token there, and is doubled.

use std::path::Path;

/// A path in a setting, in quotes for its spaces.
#[must_use]
pub fn path(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// A word of a `ProxyCommand`, which the person's shell reads after ssh has replaced its tokens.
#[must_use]
pub fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''").replace('%', "%%"))
}
