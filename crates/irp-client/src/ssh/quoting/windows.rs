//! How words are written where ssh reads them. `%` begins a token there, and is doubled.
//!
//! Windows has no file names with quotes in them. Slashes stand for backslashes, which ssh takes for the beginning of
//! an escape in some places.

use std::path::Path;

/// A path in a setting, in quotes for its spaces.
#[must_use]
pub fn path(path: &Path) -> String {
    word(&path.display().to_string().replace('\\', "/"))
}

/// A word of a `ProxyCommand`, whose program ssh starts without a shell: quotes as Windows reads them.
#[must_use]
pub fn word(text: &str) -> String {
    format!("\"{}\"", text.replace('%', "%%"))
}
