//! Why a request is not believed, in sentences for the one whose request it was meant to be. None of them holds
//! a secret or the signature that was expected.

/// Why a request is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A header or a field of the body is not there.
    #[error("{0} is missing: not from the provider?")]
    Missing(String),
    /// A header that may be there once is there twice.
    #[error("{0} is there more than once")]
    Repeated(String),
    /// A header or a field of the body does not read as what it should be.
    #[error("{0} is malformed")]
    Malformed(String),
    /// No signature is that of any secret.
    #[error("signature does not match: wrong secret?")]
    Mismatch,
    /// The header does not hold the token.
    #[error("the token does not match: wrong secret?")]
    Token,
    /// Signed too long ago, in seconds.
    #[error("timestamp {} old: is the clock right?", span(*.0))]
    Old(u64),
    /// Signed in the future, in seconds.
    #[error("timestamp {} ahead: is the clock right?", span(*.0))]
    Ahead(u64),
    /// The URL holds a hash of the body, and it is that of another one.
    #[error("the body is not the one whose hash is in the URL")]
    BodyHash,
    /// This very signature was seen before, within the time that its timestamp allows.
    #[error("seen before: a replay")]
    Replayed,
    /// There is no secret: it cannot be read, or the provider's handshake, which tells it, was not here yet.
    #[error("no secret is known yet: it cannot be read, or the provider's handshake has to come first")]
    NoSecret,
    /// The topic is not on the list.
    #[error("the topic {0} is not on the list")]
    Topic(String),
    /// The certificate's URL is not one of the provider's.
    #[error("the signing certificate is not at an address of the provider")]
    CertificateUrl,
    /// The certificate is needed and not at hand.
    #[error("the signing certificate could not be fetched")]
    CertificateMissing,
    /// The certificate is not valid now, or of no use.
    #[error("the signing certificate is not valid")]
    Certificate,
}

impl Failure {
    /// All words of [`Self::word`].
    pub const WORDS: [&str; 14] = [
        "missing",
        "repeated",
        "malformed",
        "mismatch",
        "token",
        "old",
        "ahead",
        "body-hash",
        "replayed",
        "no-secret",
        "topic",
        "certificate-url",
        "certificate-missing",
        "certificate",
    ];

    /// The reason in one word of a fixed list, for counters.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Repeated(_) => "repeated",
            Self::Malformed(_) => "malformed",
            Self::Mismatch => "mismatch",
            Self::Token => "token",
            Self::Old(_) => "old",
            Self::Ahead(_) => "ahead",
            Self::BodyHash => "body-hash",
            Self::Replayed => "replayed",
            Self::NoSecret => "no-secret",
            Self::Topic(_) => "topic",
            Self::CertificateUrl => "certificate-url",
            Self::CertificateMissing => "certificate-missing",
            Self::Certificate => "certificate",
        }
    }
}

/// Seconds as people read them.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_on_the_list() {
        let text = String::new;
        let all = [
            Failure::Missing(text()),
            Failure::Repeated(text()),
            Failure::Malformed(text()),
            Failure::Mismatch,
            Failure::Token,
            Failure::Old(0),
            Failure::Ahead(0),
            Failure::BodyHash,
            Failure::Replayed,
            Failure::NoSecret,
            Failure::Topic(text()),
            Failure::CertificateUrl,
            Failure::CertificateMissing,
            Failure::Certificate,
        ];
        assert_eq!(all.map(|failure| failure.word()), Failure::WORDS);
    }

    #[test]
    fn times_are_told_as_people_read_them() {
        assert_eq!(Failure::Old(41 * 60 + 3).to_string(), "timestamp 41 min old: is the clock right?");
        assert_eq!(Failure::Ahead(119).to_string(), "timestamp 119 s ahead: is the clock right?");
        assert_eq!(span(3 * 3600), "3 h");
        assert_eq!(span(u64::MAX), "213503982334601 days");
    }
}
