//! What the machine downloads, and whom a certificate authority may write to.

use std::{fmt, str::FromStr};

use super::{Arch, ValueError};

/// The longest URL that is taken: presigned ones with a session token have some 1,800 characters.
const URL_MAX: usize = 4096;

/// An `http://` or `https://` URL without characters that would mean something to a shell's quotes.
#[derive(Clone, PartialEq, Eq)]
pub struct DownloadUrl(String);

impl DownloadUrl {
    /// The whole text; the query of a presigned one lets everybody download for a while.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it goes over TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// The URL without its query, which may be a signature.
    #[must_use]
    pub fn without_query(&self) -> &str {
        self.0.split('?').next().unwrap_or(&self.0)
    }

    /// The architecture that the last part of the path tells, or the query where the path tells none.
    #[must_use]
    pub fn arch(&self) -> Option<Arch> {
        let path = self.without_query();
        let file = path.rsplit('/').next().unwrap_or(path);
        Arch::of_file_name(file).or_else(|| Arch::of_file_name(self.0.split_once('?')?.1))
    }
}

impl FromStr for DownloadUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or_else(|| ValueError::new("does not begin with https://"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(in_host) {
            return Err(ValueError::new("has no host, or a user and password in it"));
        }
        if path.is_empty() {
            return Err(ValueError::new("names no file"));
        }
        if text.len() > URL_MAX {
            return Err(ValueError::new(format!("has over {URL_MAX} characters")));
        }
        // RFC 3986, section 2, without the quote, which an encoder may leave as it is and no file name needs.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&()*+,;=%".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(ValueError::new("has a character in it that a URL must encode"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Without the query, which may be a signature.
impl fmt::Display for DownloadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.without_query())?;
        if self.0.contains('?') { f.write_str("?…") } else { Ok(()) }
    }
}

impl fmt::Debug for DownloadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DownloadUrl({self})")
    }
}

/// Where an ACME authority's directory is (RFC 8555, section 7.1.1): an `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeDirectory(String);

impl AcmeDirectory {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AcmeDirectory {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let url: DownloadUrl = text.parse()?;
        // RFC 8555, section 6.1: ACME is spoken over TLS only.
        if url.is_encrypted() {
            Ok(Self(url.0))
        } else {
            Err(ValueError::new("does not begin with https://"))
        }
    }
}

impl fmt::Display for AcmeDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a file: 64 hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sha256(String);

impl Sha256 {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Sha256 {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(ValueError::new("is no SHA-256"))
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that the machine downloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    /// Where it is.
    pub url: DownloadUrl,
    /// What it must hash to; the machine refuses anything else.
    pub sha256: Option<Sha256>,
}

/// An e-mail address, as far as a certificate authority looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let local = |byte: u8| byte.is_ascii_alphanumeric() || b".+-_".contains(&byte);
        let domain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        let good = text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && user.bytes().all(local) && host.contains('.') && host.bytes().all(domain)
        });
        if good && text.len() <= 254 {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new("is no e-mail address"))
        }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_plain_and_hides_its_signature() {
        let url: DownloadUrl = "https://b.s3.amazonaws.com/irp-arm64?X-Amz-Signature=abc".parse().unwrap();
        assert_eq!(url.to_string(), "https://b.s3.amazonaws.com/irp-arm64?…");
        assert!(!format!("{url:?}").contains("abc"));
        assert_eq!(url.arch(), Some(Arch::Aarch64));
        let url: DownloadUrl = "https://caddyserver.com/api/download?os=linux&arch=amd64".parse().unwrap();
        assert_eq!(url.arch(), Some(Arch::X86_64));
        for text in [
            "",
            "ftp://a/b",
            "https://",
            "https://a",
            "https://a/",
            "https:///x",
            "https://u:p@a/b",
            "https://a/b c",
            "https://a/b'",
            "https://a/b\"",
            "https://a/`id`",
            "https://a/b\\",
            "https://a/b\n",
        ] {
            assert!(text.parse::<DownloadUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_directory_is_called_over_tls_only() {
        let url = "https://ca.example.com:9000/acme/acme/directory";
        assert_eq!(url.parse::<AcmeDirectory>().unwrap().as_str(), url);
        for text in ["http://ca.example.com/directory", "https://ca.example.com/", "letsencrypt", ""] {
            assert!(text.parse::<AcmeDirectory>().is_err(), "{text}");
        }
    }

    #[test]
    fn hashes_and_addresses_have_their_shapes() {
        assert_eq!("A".repeat(64).parse::<Sha256>().unwrap().as_str(), "a".repeat(64));
        assert!("a".repeat(63).parse::<Sha256>().is_err());
        assert!("g".repeat(64).parse::<Sha256>().is_err());
        assert!("ops+irp@example.com".parse::<Email>().is_ok());
        for text in ["", "ops", "@example.com", "ops@com", "a b@example.com", "a\"@example.com"] {
            assert!(text.parse::<Email>().is_err(), "{text}");
        }
    }
}
