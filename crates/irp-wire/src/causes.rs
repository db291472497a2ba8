//! Errors in words, with what led to them.

use std::error::Error;

/// An error with its causes in one line, outermost first. What quotes its source does not tell it twice.
#[must_use]
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.ends_with(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failed {
        #[error("cannot read /x")]
        Read(#[source] io::Error),
        #[error("no key")]
        Key(#[source] Box<Failed>),
        #[error("no key, since it is true that {0}")]
        Quoting(#[source] Box<Failed>),
        #[error(transparent)]
        Transparent(Box<Failed>),
    }

    #[test]
    fn each_cause_is_told_once() {
        let read = || Box::new(Failed::Read(io::Error::other("disk full")));
        assert_eq!(in_full(&io::Error::other("disk full")), "disk full");
        assert_eq!(in_full(&Failed::Key(read())), "no key: cannot read /x: disk full");
        let quoting = Failed::Quoting(read());
        assert_eq!(in_full(&quoting), "no key, since it is true that cannot read /x: disk full");
        assert_eq!(in_full(&Failed::Transparent(read())), "cannot read /x: disk full");
    }
}
