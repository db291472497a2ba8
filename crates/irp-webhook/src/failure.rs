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
    /// The provider's handshake tells the secret, and there was none yet.
    #[error("no secret is known yet: the provider's handshake has to come first")]
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
    fn times_are_told_as_people_read_them() {
        assert_eq!(Failure::Old(41 * 60 + 3).to_string(), "timestamp 41 min old: is the clock right?");
        assert_eq!(Failure::Ahead(119).to_string(), "timestamp 119 s ahead: is the clock right?");
        assert_eq!(span(3 * 3600), "3 h");
        assert_eq!(span(u64::MAX), "213503982334601 days");
    }
}
