//! What goes wrong: a kind that picks the exit code, a message, its causes, and what to type next.

use std::{error::Error, process::ExitCode};

use serde::Serialize;

/// The kinds of failure. The numbers are part of the interface: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A fault of irp itself.
    Internal,
    /// What was typed cannot be done; also what `clap` reports.
    User,
    /// A configuration file, a key or a certificate on this machine is wrong or missing.
    Config,
    /// The AWS account cannot be used, or AWS refused.
    Cloud,
    /// The network, the edge or the upstream cannot be used.
    Network,
    /// The edge refused: an unknown key, or a name that belongs to somebody else.
    Refused,
    /// The same key connected elsewhere, and has the name now.
    TakenOver,
}

/// The table of exit codes, as `irp --help` prints it.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done; also after Ctrl-C, when everything under way was finished
  1    a fault of irp itself: please report it
  2    wrong use: an unknown flag, a bad value
  3    a configuration file, key or certificate is wrong or missing
  4    the AWS account cannot be used, or AWS refused
  5    the network, the edge or the upstream cannot be used
  6    the edge refused: the key is not known there, or the name is not yours
  7    taken over: the same key connected elsewhere and has the name now
  130  quit by a second Ctrl-C, requests may have been cut";

impl Kind {
    /// The number that the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::User => 2,
            Self::Config => 3,
            Self::Cloud => 4,
            Self::Network => 5,
            Self::Refused => 6,
            Self::TakenOver => 7,
        }
    }

    /// The same for `main`.
    pub(crate) fn exit_code(self) -> ExitCode {
        self.code().into()
    }
}

/// A failure as it reaches the person.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl Failure {
    /// A failure of `kind`; the message names what was being done, and to what.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// Adds an error and all that led to it.
    pub(crate) fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            // `#[error(transparent)]` and messages that quote their source would be told twice.
            let told = self.causes.last().unwrap_or(&self.message).ends_with(&text);
            if !told && !text.is_empty() {
                self.causes.push(text);
            }
            cause = error.source();
        }
        self
    }

    /// Adds a cause in words, one of several.
    pub(crate) fn cause(mut self, text: impl Into<String>) -> Self {
        self.causes.push(text.into());
        self
    }

    /// Adds what the person can do now, best as something to type.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What failed.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Why, outermost first.
    pub(crate) fn causes(&self) -> &[String] {
        &self.causes
    }

    /// What to do now.
    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read /x")]
    struct Read(#[source] io::Error);

    #[test]
    fn the_chain_of_causes_is_told_once_each() {
        let failure = Failure::new(Kind::Config, "the key is of no use")
            .because(&Read(io::Error::other("disk full")))
            .hint("irp keygen");
        assert_eq!(failure.causes(), ["cannot read /x", "disk full"]);
        let quoted =
            Failure::new(Kind::Config, "cannot open: disk full").because(&io::Error::other("disk full"));
        assert!(quoted.causes().is_empty());
    }

    #[test]
    fn the_help_names_the_code_of_each_kind() {
        for kind in [
            Kind::Internal,
            Kind::User,
            Kind::Config,
            Kind::Cloud,
            Kind::Network,
            Kind::Refused,
            Kind::TakenOver,
        ] {
            assert!(EXIT_CODES.contains(&format!("\n  {}  ", kind.code())), "{kind:?}");
        }
    }
}
