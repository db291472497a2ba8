//! A provider: its row, read, and its manners.

use std::sync::{Arc, LazyLock};

use http::HeaderName;

use crate::{
    kind,
    manners::{Flow, Manners},
    row::{Algorithm, Row, RowError, Scheme},
    source::Source,
    table::TABLE,
};

/// The longest name of a row that a user writes.
const NAME_MAX: usize = 40;
/// The longest field of such a row, in bytes: rows travel to an edge that serves others too.
const FIELD_MAX: usize = 512;
/// The longest tolerance of such a row, in seconds: a day.
const TOLERANCE_MAX: u32 = 86_400;

/// A provider of webhooks. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Provider(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    scheme: Scheme,
    manners: Manners,
    kinds: Vec<Source>,
    retry: Option<Source>,
}

/// How long the bytes of a request are known again, where their repetition is only told.
const REPEATS_FOR: std::time::Duration = std::time::Duration::from_secs(3600);

/// The table, read once.
static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    let read = TABLE.iter().map(|(name, row, manners)| Provider::new(name, row, *manners));
    // A test reads every row.
    read.filter_map(Result::ok).collect()
});

impl Provider {
    /// The provider of the table by this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().iter().find(|provider| provider.name() == name).cloned()
    }

    /// All providers of the table.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &PROVIDERS
    }

    /// A provider that a user describes.
    ///
    /// # Errors
    ///
    /// When the row does not read, or the name is not one word of `a-z`, `0-9` and `-`, or that of the table.
    pub fn custom(name: &str, row: &Row<'_>) -> Result<Self, RowError> {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_word) {
            let expected = "a word of a-z, 0-9 and -, of at most 40 letters";
            return Err(RowError::Field {
                field: "name",
                value: name.chars().take(NAME_MAX).collect(),
                expected,
            });
        }
        if Self::named(name).is_some() {
            return Err(RowError::Field {
                field: "name",
                value: name.to_owned(),
                expected: "another name than those that irp knows",
            });
        }
        let fields = [
            row.signature,
            row.format,
            row.encoding,
            row.algorithm,
            row.key,
            row.template,
            row.timestamp,
            row.id,
        ];
        if fields.iter().any(|field| field.len() > FIELD_MAX) {
            return Err(RowError::Together("a field of a row has at most 512 characters"));
        }
        if row.tolerance > TOLERANCE_MAX {
            return Err(RowError::Together("the tolerance of a row is at most a day, 86400 seconds"));
        }
        if row.algorithm == "sns" || row.template.contains("{twilio}") {
            return Err(RowError::Together("sns and {twilio} are for the providers of that name"));
        }
        Self::new(name, row, Manners::PLAIN)
    }

    fn new(name: &str, row: &Row<'_>, manners: Manners) -> Result<Self, RowError> {
        let wrong = |field| RowError::Field { field, value: name.to_owned(), expected: "sources" };
        let retry = match manners.retry {
            "" => None,
            header => Some(Source::Header(header.parse::<HeaderName>().map_err(|_| wrong("retry"))?)),
        };
        Ok(Self(Arc::new(Inner {
            name: name.to_owned(),
            scheme: Scheme::read(row)?,
            manners,
            kinds: kind::sources(manners.kind).ok_or_else(|| wrong("kind"))?,
            retry,
        })))
    }

    /// Its name, as it is typed and as `irp-verified` has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its name as people write it.
    #[must_use]
    pub fn title(&self) -> &str {
        match self.0.manners.title {
            "" => &self.0.name,
            title => title,
        }
    }

    /// How it behaves.
    #[must_use]
    pub fn manners(&self) -> &Manners {
        &self.0.manners
    }

    /// How long a signing is to be remembered against replays; `None` where nothing is signed that ends a
    /// signature's life, or where the provider repeats itself to the byte.
    #[must_use]
    pub fn replay_span(&self) -> Option<std::time::Duration> {
        let is_timed = self.0.scheme.timestamp.is_some() && !self.0.manners.repeats_bytes;
        // Signed in the future as far as tolerated, it is valid for twice as long.
        is_timed.then(|| self.0.scheme.tolerance * 2)
    }

    /// How long a signing is remembered to tell a repeat, which is no attack; `None` where the same is brought each time.
    #[must_use]
    pub fn repeat_span(&self) -> Option<std::time::Duration> {
        (self.0.scheme.algorithm != Algorithm::Token).then_some(REPEATS_FOR)
    }

    /// Whether the handshake tells the secret.
    #[must_use]
    pub fn learns_secret(&self) -> bool {
        self.0.manners.handshake == Flow::Asana
    }

    /// Whether [`crate::Verifier::verify`] wants a certificate.
    #[must_use]
    pub fn needs_certificate(&self) -> bool {
        self.0.scheme.algorithm == Algorithm::Sns
    }

    /// Whether the public URL is part of what is signed.
    #[must_use]
    pub fn signs_url(&self) -> bool {
        self.0.scheme.template.has_url()
    }

    pub(crate) fn scheme(&self) -> &Scheme {
        &self.0.scheme
    }

    pub(crate) fn kind_sources(&self) -> &[Source] {
        &self.0.kinds
    }

    pub(crate) fn retry_source(&self) -> Option<&Source> {
        self.0.retry.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_reads() {
        for (name, row, manners) in TABLE {
            let provider =
                Provider::new(name, row, *manners).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!manners.title.is_empty() && !manners.variable.is_empty(), "{name}");
            assert!(manners.path.starts_with('/'), "{name}");
            assert_eq!(Provider::all().iter().filter(|other| other.name() == provider.name()).count(), 1);
        }
        assert_eq!(Provider::all().len(), TABLE.len());
    }

    #[test]
    fn a_replay_is_an_attack_where_a_time_is_signed_and_a_repeat_is_told_elsewhere() {
        let spans = |name: &str| {
            let provider = Provider::named(name).unwrap();
            (provider.replay_span().is_some(), provider.repeat_span().is_some())
        };
        assert_eq!(
            ["slack", "github", "box", "gitlab"].map(spans),
            [(true, true), (false, true), (false, true), (false, false)]
        );
    }

    #[test]
    fn a_user_may_describe_another_provider() {
        let row = Row { signature: "x-acme-signature", ..Row::PLAIN };
        assert_eq!(Provider::custom("acme", &row).unwrap().name(), "acme");
        for name in ["", "Acme", "a b", "slack", &"a".repeat(41)] {
            assert!(Provider::custom(name, &row).is_err(), "{name}");
        }
        assert!(Provider::custom("acme", &Row { algorithm: "sns", ..row }).is_err());
        assert!(Provider::custom("acme", &Row { template: "{twilio}", ..row }).is_err());
        assert!(Provider::custom("acme", &Row { signature: "no header", ..row }).is_ok(), "two headers");
        assert!(Provider::custom("acme", &Row { signature: "x:y", ..row }).is_err());
        assert!(Provider::custom("acme", &Row { signature: &"x ".repeat(101), ..row }).is_err());
        assert!(Provider::custom("acme", &Row { signature: "x-*", ..row }).is_ok());
        assert!(Provider::custom("acme", &Row { signature: "x-* y", ..row }).is_err());
        assert!(Provider::custom("acme", &Row { template: &"x".repeat(513), ..row }).is_err());
        assert!(Provider::custom("acme", &Row { tolerance: 86_401, ..row }).is_err());
    }
}
