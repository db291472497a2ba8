//! A row: a signature scheme as text, and the scheme that it is read into.

use std::time::Duration;

use http::HeaderName;

use crate::{
    encoding::Encoding, key::KeyForm, source::Source, template::Template, timestamp::Place,
    timestamp::Timestamp,
};

/// The most headers that hold a signature each; DocuSign numbers them.
const HEADERS_MAX: usize = 100;

/// A signature scheme as text: a row of the table, or one that a user writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Where the signature stands: a header; several, with blanks between, of which one must match; a header
    /// that is numbered from 1 (`x-signature-*`); or a field of the body (`body:signature.signature`).
    pub signature: &'a str,
    /// What the header holds: `plain`; `prefix:TEXT`, a text to strip; `kv:SEPARATOR:KEY`, the value of KEY in
    /// `a=1,b=2`; `list:SEPARATOR:PREFIX`, each entry of a list that begins with PREFIX.
    pub format: &'a str,
    /// How the signature is written: `hex`, `base64`, or `text` for a token.
    pub encoding: &'a str,
    /// `hmac-sha256`, `hmac-sha1`, `ed25519`, `ecdsa-p256` (DER), `token` (the header holds the secret itself),
    /// `sha256` (a plain hash over a text with the secret in it), or `sns`.
    pub algorithm: &'a str,
    /// How the secret is written: `utf8`, `hex`, `base64`, or `base64:PREFIX`, where the prefix may be missing.
    pub key: &'a str,
    /// The text that is signed: literal text and `{ts}`, `{id}`, `{body}`, `{url}`, `{url*}` (HubSpot's escapes
    /// decoded, if need be), `{method}`, `{secret}`, `{twilio}`.
    pub template: &'a str,
    /// Where the time of signing stands, and its unit `s`, `ms` or `rfc3339`: `header:NAME:UNIT`,
    /// `key:KEY:UNIT` (beside the signature), `body:KEY.KEY:UNIT`; empty where there is none.
    pub timestamp: &'a str,
    /// How far that time may be from now, in seconds.
    pub tolerance: u32,
    /// Where the delivery's number stands: `header:NAME` or `body:KEY.KEY`; empty where there is none.
    pub id: &'a str,
}

impl Row<'static> {
    /// What most providers do: hex of HMAC-SHA256 over the body.
    pub const PLAIN: Self = Self {
        signature: "",
        format: "plain",
        encoding: "hex",
        algorithm: "hmac-sha256",
        key: "utf8",
        template: "{body}",
        timestamp: "",
        tolerance: 300,
        id: "",
    };
}

/// Why a row is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A field does not read.
    #[error("{field} {value:?} does not read: {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it could be.
        expected: &'static str,
    },
    /// Two fields do not go together.
    #[error("{0}")]
    Together(&'static str),
}

/// With what a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    HmacSha256,
    HmacSha1,
    Sha256,
    Ed25519,
    EcdsaP256,
    Token,
    Sns,
}

impl Algorithm {
    /// Bytes of a signature, where all are of one length.
    pub(crate) fn length(self) -> Option<usize> {
        match self {
            Self::HmacSha256 | Self::Sha256 => Some(32),
            Self::HmacSha1 => Some(20),
            Self::Ed25519 => Some(64),
            Self::EcdsaP256 | Self::Token | Self::Sns => None,
        }
    }
}

/// Where signatures stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bearer {
    Headers(Vec<HeaderName>),
    Body(Source),
}

/// What the bearer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Plain,
    Prefix(String),
    Pairs { separator: char, key: String },
    List { separator: char, prefix: String },
}

/// A row that was read.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    pub(crate) bearer: Bearer,
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: KeyForm,
    pub(crate) template: Template,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) tolerance: Duration,
    pub(crate) id: Option<Source>,
}

impl Scheme {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, RowError> {
        let wrong =
            |field, value: &str, expected| RowError::Field { field, value: value.to_owned(), expected };
        let scheme = Self {
            bearer: bearer(row.signature)
                .ok_or_else(|| wrong("signature", row.signature, "a header's name, or body:KEY"))?,
            format: format(row.format).ok_or_else(|| {
                wrong("format", row.format, "plain, prefix:TEXT, kv:SEPARATOR:KEY or list:SEPARATOR:PREFIX")
            })?,
            encoding: Encoding::parse(row.encoding)
                .ok_or_else(|| wrong("encoding", row.encoding, "hex, base64 or text"))?,
            algorithm: algorithm(row.algorithm).ok_or_else(|| {
                wrong("algorithm", row.algorithm, "hmac-sha256, hmac-sha1, ed25519, ecdsa-p256 or token")
            })?,
            key: KeyForm::parse(row.key)
                .ok_or_else(|| wrong("key", row.key, "utf8, hex, base64 or base64:PREFIX"))?,
            template: Template::parse(row.template).ok_or_else(|| {
                wrong("template", row.template, "text with {ts}, {id}, {body}, {url} or {method} in it")
            })?,
            timestamp: match row.timestamp {
                "" => None,
                text => Some(Timestamp::parse(text).ok_or_else(|| {
                    wrong(
                        "timestamp",
                        text,
                        "header:NAME:UNIT, key:KEY:UNIT or body:KEY:UNIT; s, ms or rfc3339",
                    )
                })?),
            },
            tolerance: Duration::from_secs(row.tolerance.into()),
            id: match row.id {
                "" => None,
                text => {
                    Some(Source::parse(text).ok_or_else(|| wrong("id", text, "header:NAME or body:KEY"))?)
                }
            },
        };
        scheme.check()?;
        Ok(scheme)
    }

    /// What each field alone does not show.
    fn check(&self) -> Result<(), RowError> {
        let together = |holds: bool, says| if holds { Ok(()) } else { Err(RowError::Together(says)) };
        let keyed = matches!(&self.timestamp, Some(Timestamp { place: Place::Key(_), .. }));
        let in_body = matches!(self.timestamp, Some(Timestamp { place: Place::Source(Source::Body(_)), .. }));
        together(
            !keyed || matches!(self.format, Format::Pairs { .. }),
            "a timestamp under a key needs the format kv",
        )?;
        together(
            self.timestamp.is_some() || !self.template.has_timestamp(),
            "the template has {ts}, and timestamp does not say where it stands",
        )?;
        together(
            self.id.is_some() || !self.template.has_id(),
            "the template has {id}, and id does not say where it stands",
        )?;
        let covers = self.template.has_timestamp() || (in_body && self.template.has_body());
        together(
            self.timestamp.is_none() || covers,
            "a timestamp that the template does not sign could be made up",
        )?;
        let is_hash = self.algorithm == Algorithm::Sha256;
        together(
            is_hash == self.template.has_secret(),
            "{secret} belongs to the algorithm sha256, and only to it",
        )?;
        let is_token = self.algorithm == Algorithm::Token;
        together(
            is_token == (self.encoding == Encoding::Text),
            "the encoding text belongs to the algorithm token",
        )?;
        together(!is_token || self.timestamp.is_none(), "a token signs no timestamp")
    }

    /// How the signature's place is called in messages.
    pub(crate) fn bearer_name(&self) -> String {
        match &self.bearer {
            Bearer::Headers(names) => names.first().map_or_else(String::new, ToString::to_string),
            Bearer::Body(source) => source.name(),
        }
    }
}

fn bearer(text: &str) -> Option<Bearer> {
    if text.starts_with("body:") {
        return Source::parse(text).map(Bearer::Body);
    }
    let mut names = Vec::new();
    for word in text.split_ascii_whitespace() {
        match word.strip_suffix('*') {
            Some(stem) => {
                for number in 1..=HEADERS_MAX {
                    names.push(format!("{stem}{number}").parse().ok()?);
                }
            }
            None => names.push(word.parse().ok()?),
        }
    }
    (1..=HEADERS_MAX).contains(&names.len()).then_some(Bearer::Headers(names))
}

fn format(text: &str) -> Option<Format> {
    if text == "plain" {
        return Some(Format::Plain);
    }
    if let Some(prefix) = text.strip_prefix("prefix:") {
        return (!prefix.is_empty()).then(|| Format::Prefix(prefix.to_owned()));
    }
    let (kind, rest) = text.split_once(':')?;
    let mut letters = rest.chars();
    let separator = letters.next().filter(char::is_ascii)?;
    let word = letters.as_str().strip_prefix(':').filter(|word| !word.is_empty())?.to_owned();
    match kind {
        "kv" => Some(Format::Pairs { separator, key: word }),
        "list" => Some(Format::List { separator, prefix: word }),
        _ => None,
    }
}

fn algorithm(text: &str) -> Option<Algorithm> {
    Some(match text {
        "hmac-sha256" => Algorithm::HmacSha256,
        "hmac-sha1" => Algorithm::HmacSha1,
        "sha256" => Algorithm::Sha256,
        "ed25519" => Algorithm::Ed25519,
        "ecdsa-p256" => Algorithm::EcdsaP256,
        "token" => Algorithm::Token,
        "sns" => Algorithm::Sns,
        _ => return None,
    })
}

impl Format {
    /// Hands on the signatures as they are written in `value`; other entries of a list are none of ours.
    pub(crate) fn signatures<'v>(&self, value: &'v str, each: impl FnMut(&'v str)) {
        match self {
            Self::Plain => Some(value).into_iter().for_each(each),
            Self::Prefix(prefix) => value.strip_prefix(prefix.as_str()).into_iter().for_each(each),
            Self::Pairs { separator, key } => values(value, *separator, key).for_each(each),
            Self::List { separator, prefix } => {
                let entries = value.split(*separator).map(str::trim_ascii);
                entries.filter_map(|entry| entry.strip_prefix(prefix.as_str())).for_each(each);
            }
        }
    }

    /// The header's value from a signature, and the time that stands beside it.
    pub(crate) fn write(&self, signature: &str, beside: Option<(&str, &str)>) -> String {
        match self {
            Self::Plain => signature.to_owned(),
            Self::Prefix(prefix) | Self::List { prefix, .. } => format!("{prefix}{signature}"),
            Self::Pairs { separator, key } => match beside {
                Some((name, value)) => format!("{name}={value}{separator}{key}={signature}"),
                None => format!("{key}={signature}"),
            },
        }
    }

    /// What separates the entries of a list; such a header may be there more than once.
    pub(crate) fn separator(&self) -> Option<char> {
        match self {
            Self::Plain | Self::Prefix(_) => None,
            Self::Pairs { separator, .. } | Self::List { separator, .. } => Some(*separator),
        }
    }
}

/// The values of `key` in `a=1,b=2`.
pub(crate) fn values<'v>(text: &'v str, separator: char, key: &str) -> impl Iterator<Item = &'v str> {
    let pairs = text.split(separator).filter_map(|pair| pair.trim_ascii().split_once('='));
    pairs.filter(move |(name, _)| *name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row<'static> = Row { signature: "x-signature", ..Row::PLAIN };

    #[test]
    fn each_format_finds_its_signatures() {
        let found = |text: &str, value: &'static str| {
            let mut found = Vec::new();
            format(text).unwrap().signatures(value, |signature| found.push(signature));
            found
        };
        assert_eq!(found("plain", "ab"), ["ab"]);
        assert_eq!(found("prefix:v0=", "v0=ab"), ["ab"]);
        assert_eq!(found("prefix:v0=", "v1=ab"), [""; 0]);
        assert_eq!(found("kv:,:v1", "t=1, v1=ab,v0=x,v1=cd,v1"), ["ab", "cd"]);
        assert_eq!(found("list: :v1,", "v1,ab v1a,x  v1,cd"), ["ab", "cd"]);
        for wrong in ["", "plainly", "prefix:", "kv", "kv:,", "kv:,:", "kv::", "list:é:a", "map:,:a"] {
            assert_eq!(format(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rows_that_would_believe_too_much_are_refused() {
        let read = |row: Row<'static>| Scheme::read(&row).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(read(ROW), Ok(()));
        let unsigned = Row { timestamp: "header:x-time:s", ..ROW };
        assert!(read(unsigned).unwrap_err().contains("could be made up"));
        assert_eq!(read(Row { template: "{ts}{body}", ..unsigned }), Ok(()));
        assert!(read(Row { template: "{ts}{body}", ..ROW }).is_err());
        assert!(read(Row { template: "{id}{body}", ..ROW }).is_err());
        assert!(read(Row { template: "{body}{secret}", ..ROW }).is_err());
        assert!(read(Row { template: "nothing", ..ROW }).is_err());
        assert!(read(Row { timestamp: "key:t:s", template: "{ts}{body}", ..ROW }).is_err());
        assert!(read(Row { algorithm: "token", ..ROW }).is_err());
        assert_eq!(
            read(Row { encoding: "base58", ..ROW }),
            Err("encoding \"base58\" does not read: hex, base64 or text".into())
        );
    }
}
