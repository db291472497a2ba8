//! Reading a TOML file so that each mistake is found by its line.

use std::{fs, ops::Range, path::Path};

use serde::de::DeserializeOwned;

use crate::error::{Failure, Kind};

/// The largest file that is read, in bytes.
const FILE_MOST: u64 = 1024 * 1024;

/// How alike a known key must be to be proposed (Jaro–Winkler, 0 to 1).
const ALIKE: f64 = 0.75;

/// Reads the file at `path`.
///
/// # Errors
///
/// When it is missing, too large or no TOML, and when a key or a value in it is not what `T` wants: then the
/// failure names file, line and column, and the nearest key to an unknown one.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    parse(&text(path)?, path)
}

/// What is in the file at `path`.
///
/// # Errors
///
/// When it is missing, too large or no text.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let unreadable = || Failure::new(Kind::Config, format!("cannot read {}", path.display()));
    let length = fs::metadata(path).map_err(|error| unreadable().because(&error))?.len();
    if length > FILE_MOST {
        return Err(unreadable().hint(format!("it has {length} bytes; at most {FILE_MOST} are taken")));
    }
    fs::read_to_string(path).map_err(|error| unreadable().because(&error))
}

/// The same for text that was read from `path`.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| explain(&error, text, path))
}

/// `path`, with line and column of where `span` begins in its text, if one place is meant.
pub(super) fn place(path: &Path, text: &str, span: Option<Range<usize>>) -> String {
    let path = path.display();
    let Some(span) = span else { return path.to_string() };
    let before = &text[..text.floor_char_boundary(span.start)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{path}:{line}:{column}")
}

fn explain(error: &toml::de::Error, text: &str, path: &Path) -> Failure {
    let place = place(path, text, error.span());
    // serde has no other way to tell them than in words; a test watches that the words stay.
    let unknown = error.message().strip_prefix("unknown field ").and_then(|rest| {
        let mut quoted = rest.split('`').skip(1).step_by(2);
        Some((quoted.next()?.to_owned(), quoted.map(str::to_owned).collect::<Vec<_>>()))
    });
    let Some((key, known)) = unknown else {
        return Failure::new(Kind::Config, format!("{place}: {}", error.message()));
    };
    let failure = Failure::new(Kind::Config, format!("{place}: unknown key `{key}`"));
    match nearest(&key, &known) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("known keys here: {}", known.join(", "))),
    }
}

fn nearest<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let alike = |candidate: &String| strsim::jaro_winkler(key, candidate);
    let best = known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(best) >= ALIKE).then_some(best)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[expect(dead_code, reason = "only its key matters")]
        listen: Option<String>,
        #[expect(dead_code, reason = "only its key matters")]
        limits: Option<Limits>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limits {
        #[expect(dead_code, reason = "only its key matters")]
        memory: Option<u32>,
    }

    fn failure(text: &str) -> Failure {
        parse::<File>(text, Path::new("edge.toml")).unwrap_err()
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_nearest_key() {
        let found = failure("listen = 'x'\n\n[limits]\n  memroy = 3\n");
        assert_eq!(found.message(), "edge.toml:4:3: unknown key `memroy`");
        assert_eq!(found.hints(), ["did you mean `memory`?"]);
        let found = failure("zebra = 3\n");
        assert_eq!(found.message(), "edge.toml:1:1: unknown key `zebra`");
        assert_eq!(found.hints(), ["known keys here: listen, limits"]);
    }

    #[test]
    fn a_wrong_value_is_told_with_its_place() {
        let found = failure("[limits]\nmemory = 'much'\n");
        assert!(found.message().starts_with("edge.toml:2:10: invalid type"), "{}", found.message());
        assert!(failure("listen = [").message().starts_with("edge.toml:1:"));
    }

    #[test]
    fn a_named_file_that_is_missing_is_an_error() {
        let found = read::<File>(Path::new("/nowhere/edge.toml")).unwrap_err();
        assert_eq!(found.message(), "cannot read /nowhere/edge.toml");
        assert_eq!(found.kind(), Kind::Config);
    }
}
