//! The developer's program: where it is, how to reach it, and connections kept for the next request.

pub(crate) mod body;
pub(crate) mod connect;
pub(crate) mod pool;
#[cfg_attr(windows, path = "upstream/socket/windows.rs")]
mod socket;
pub(crate) mod tls;

use std::{fmt, path::PathBuf, str::FromStr};

use http::{HeaderValue, uri::Authority};

/// Where requests go: `3000`, `localhost:3000`, `http://…`, `https://…`, `h2c://…` or `unix:/PATH`.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    pub(crate) scheme: Scheme,
    pub(crate) place: Place,
}

/// What is spoken with an upstream. gRPC takes HTTP/2 in every case, since it cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    /// HTTP/2 from the first byte, without TLS (RFC 9113, section 3.3).
    H2c,
}

/// Where an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// Why a text is no upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// Nothing there.
    #[error("the upstream is empty: give a port (`3000`), `HOST:PORT` or a URL")]
    Empty,
    /// Another scheme.
    #[error("`{0}` is not supported: an upstream begins with http, https, h2c or unix")]
    Scheme(String),
    /// A path, a query or a login in a URL.
    #[error("`{0}` names more than a host and a port: requests are forwarded with the visitor's own path")]
    TooMuch(String),
    /// The port is not 1 to 65535.
    #[error("`{0}` is no port: use 1 to 65535")]
    Port(String),
    /// The host does not read as a name or an address.
    #[error("`{0}` does not read as a host with a port")]
    Host(String),
    /// A relative path of a unix socket.
    #[error("`{0}` is no absolute path of a unix socket: write `unix:/run/app.sock`")]
    Path(String),
    /// A unix socket on a system where nobody can reach one.
    #[error("`{0}`: an upstream at a unix socket is for Linux and macOS: let it listen on a port")]
    NoSockets(String),
}

impl Upstream {
    /// An upstream that listens on a port of this machine.
    #[must_use]
    pub fn local(port: u16) -> Self {
        Self { scheme: Scheme::Http, place: Place::Tcp { host: "localhost".into(), port } }
    }

    /// Its host and port where it is plain HTTP on a port: all that a forward of ssh can lead to.
    #[must_use]
    pub fn forwardable(&self) -> Option<(&str, u16)> {
        match (&self.place, self.scheme) {
            (Place::Tcp { host, port }, Scheme::Http) => Some((host, *port)),
            _ => None,
        }
    }

    /// Whether something takes connections there now; nothing is sent.
    pub async fn is_listening(&self) -> bool {
        connect::is_listening(&self.place).await
    }

    /// The `Host` under which it knows itself.
    pub(crate) fn own_host(&self) -> HeaderValue {
        let text = match &self.place {
            Place::Tcp { host, port } if *port == self.scheme.default_port() => host.clone(),
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Unix(_) => "localhost".into(),
        };
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("localhost"))
    }
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http | Self::H2c => 80,
            Self::Https => 443,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UpstreamError::Empty);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') || path.len() == 1 {
                return Err(UpstreamError::Path(text.to_owned()));
            }
            if !socket::IS_REACHABLE {
                return Err(UpstreamError::NoSockets(text.to_owned()));
            }
            return Ok(Self { scheme: Scheme::Http, place: Place::Unix(path.into()) });
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::local(port(text)?));
        }
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Http, text),
            Some((word, rest)) => {
                let known = [Scheme::Http, Scheme::Https, Scheme::H2c];
                let scheme = known.into_iter().find(|scheme| scheme.word().eq_ignore_ascii_case(word));
                (scheme.ok_or_else(|| UpstreamError::Scheme(word.to_owned()))?, rest)
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(UpstreamError::TooMuch(text.to_owned()));
        }
        let rest = if rest.starts_with(':') { format!("localhost{rest}") } else { rest.to_owned() };
        let authority: Authority = rest.parse().map_err(|_| UpstreamError::Host(text.to_owned()))?;
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return Err(UpstreamError::Host(text.to_owned()));
        }
        let port = match rest.get(host.len()..).and_then(|rest| rest.strip_prefix(':')) {
            Some(digits) => port(digits)?,
            None => scheme.default_port(),
        };
        Ok(Self { scheme, place: Place::Tcp { host, port } })
    }
}

fn port(digits: &str) -> Result<u16, UpstreamError> {
    digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| UpstreamError::Port(digits.to_owned()))
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Tcp { host, port } if *port == self.scheme.default_port() => {
                write!(f, "{}://{host}", self.scheme.word())
            }
            Place::Tcp { host, port } => write!(f, "{}://{host}:{port}", self.scheme.word()),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_name_an_upstream() {
        for (text, shown) in [
            ("3000", "http://localhost:3000"),
            (":3000", "http://localhost:3000"),
            ("localhost:3000", "http://localhost:3000"),
            ("http://App.test:8080/", "http://app.test:8080"),
            ("http://app.test", "http://app.test"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("https://app.test:443", "https://app.test"),
            ("H2C://127.0.0.1:50051", "h2c://127.0.0.1:50051"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
        ] {
            let upstream: Upstream = text.parse().unwrap();
            assert_eq!(upstream.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Upstream>().unwrap(), upstream);
        }
    }

    #[test]
    fn what_is_no_upstream_says_why() {
        use UpstreamError as Error;
        for (text, error) in [
            (" ", Error::Empty),
            ("0", Error::Port("0".into())),
            ("65536", Error::Port("65536".into())),
            ("a:b", Error::Port("b".into())),
            ("ftp://a", Error::Scheme("ftp".into())),
            ("http://a/b", Error::TooMuch("http://a/b".into())),
            ("http://me:pw@a", Error::TooMuch("http://me:pw@a".into())),
            ("http://", Error::Host("http://".into())),
            ("a b", Error::Host("a b".into())),
            ("unix:run/app.sock", Error::Path("unix:run/app.sock".into())),
        ] {
            assert_eq!(text.parse::<Upstream>(), Err(error), "{text}");
        }
    }

    #[test]
    fn ssh_can_forward_to_plain_http_on_a_port_alone() {
        let target = |text: &str| {
            let upstream: Upstream = text.parse().unwrap();
            upstream.forwardable().map(|(host, port)| format!("{host}:{port}"))
        };
        assert_eq!(target("3000"), Some("localhost:3000".into()));
        assert_eq!(target("http://[::1]:80"), Some("[::1]:80".into()));
        for text in ["https://app.test", "h2c://app.test:1", "unix:/run/app.sock"] {
            assert_eq!(target(text), None, "{text}");
        }
    }

    #[test]
    fn the_default_port_is_not_part_of_the_host() {
        let host = |text: &str| text.parse::<Upstream>().unwrap().own_host();
        assert_eq!(host("3000"), "localhost:3000");
        assert_eq!(host("https://app.test"), "app.test");
        assert_eq!(host("unix:/a"), "localhost");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            if let Ok(upstream) = text.parse::<Upstream>() {
                prop_assert_eq!(upstream.to_string().parse::<Upstream>(), Ok(upstream));
            }
        }
    }
}
