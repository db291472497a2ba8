//! The project's files as text: which there are, and what of a Rust file is code that ships.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of the project.
pub(crate) struct Source {
    /// Its path from the root of the project, with `/` between its parts.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

impl Source {
    /// Whether it ships: the code of a product crate, outside its tests.
    pub(crate) fn is_product(&self) -> bool {
        let crates = [
            "crates/irp/",
            "crates/irp-aws/",
            "crates/irp-edge/",
            "crates/irp-client/",
            "crates/irp-webhook/",
            "crates/irp-launch/",
            "crates/irp-wire/",
        ];
        let inside = crates.iter().find_map(|folder| self.path.strip_prefix(folder));
        self.is_rust() && inside.is_some_and(|path| path.starts_with("src/") && !path.ends_with("/tests.rs"))
    }

    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// All files of the project that are text, without what git ignores.
pub(crate) fn files() -> Vec<Source> {
    let root = root();
    let ignored = fs::read_to_string(root.join(".gitignore")).expect(".gitignore");
    let ignored: Vec<_> = ignored.lines().map(|line| line.trim_end_matches('/')).collect();
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("a folder of the project") {
            let entry = entry.expect("a file of the project");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = folder.join(&name);
            let rooted = format!("/{}", path.display());
            if name == ".git" || ignored.iter().any(|line| *line == name || *line == rooted) {
                continue;
            }
            if entry.file_type().expect("a kind of file").is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                found.push(Source { path: path.display().to_string(), text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found.iter().any(Source::is_product), "no source was found");
    found
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The code alone: comments, and what stands in quotes, become blanks, so that lines keep their numbers.
pub(crate) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = match rest {
            [b'/', b'/', ..] => line(rest),
            [b'/', b'*', ..] => block(rest),
            [b'"', ..] => quoted(rest),
            [b'\'', ..] => character(rest),
            [b'r', ..] if !code.ends_with(is_word) || code.ends_with('b') => raw(rest),
            _ => 0,
        };
        if end == 0 {
            code.push(char::from(bytes[at]));
            at += 1;
            continue;
        }
        // Not a single blank, so that what stood on either side does not grow together.
        code.extend(rest[..end].iter().map(|byte| if *byte == b'\n' { '\n' } else { ' ' }));
        at += end;
    }
    code
}

fn line(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn block(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The length of a character in quotes; 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest.iter().skip(3).position(|byte| *byte == b'\'').map_or(rest.len(), |end| end + 4);
    }
    // A character takes one to four bytes of UTF-8.
    let length = match rest.get(1) {
        Some(0..=0x7F) | None => 1,
        Some(0..=0xDF) => 2,
        Some(0..=0xEF) => 3,
        Some(_) => 4,
    };
    if rest.get(1 + length) == Some(&b'\'') { length + 2 } else { 0 }
}

/// The length of a raw string; 0 for a word that begins with the same letter.
fn raw(rest: &[u8]) -> usize {
    let marks = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + marks) != Some(&b'"') {
        return 0;
    }
    let end = [b"\"".as_slice(), &b"#".repeat(marks)].concat();
    let inside = &rest[marks + 2..];
    let length = inside.windows(end.len()).position(|window| window == end).unwrap_or(inside.len());
    (marks + 2 + length + end.len()).min(rest.len())
}

/// Code without the module of unit tests that a file ends with.
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let (mut lines, mut in_tests) = (code.lines().peekable(), false);
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        in_tests |= line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{');
        if !in_tests {
            kept.push_str(line);
        }
        kept.push('\n');
        in_tests &= line != "}";
    }
    kept
}

/// Where `words` stands in `code` as whole words: the numbers of the lines, from 1.
pub(crate) fn lines_with(code: &str, words: &str) -> Vec<usize> {
    let is_there = |line: &str| {
        line.match_indices(words).any(|(at, _)| {
            let begins = !words.starts_with(is_word) || !line[..at].ends_with(is_word);
            let ends = !words.ends_with(is_word) || !line[at + words.len()..].starts_with(is_word);
            begins && ends
        })
    };
    code.lines().enumerate().filter(|(_, line)| is_there(line)).map(|(index, _)| index + 1).collect()
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}
