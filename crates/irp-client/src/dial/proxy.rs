//! The way out of a network that lets nothing out but a proxy: HTTP CONNECT (RFC 9110, section 9.3.6).
//!
//! The values are those of `HTTPS_PROXY` and `NO_PROXY`; who reads them is the caller.

use std::{fmt, io, net::IpAddr, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::uri::Authority;
use ipnet::IpNet;
use irp_wire::name::Hostname;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest head of a proxy's answer, in bytes.
const ANSWER_MAX: usize = 8 * 1024;

/// Whether and where to go through a proxy.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// The proxy for TLS, if there is one.
    pub https: Option<Proxy>,
    /// What is reached without it.
    pub except: NoProxy,
}

impl ProxySettings {
    /// The proxy to use for an edge. Loopback names are always reached directly.
    #[must_use]
    pub fn for_host(&self, host: &Hostname, port: u16) -> Option<&Proxy> {
        self.https.as_ref().filter(|_| !host.is_localhost() && !self.except.covers(host.as_str(), port))
    }
}

/// An HTTP proxy. It prints without its password.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    login: Option<(String, SecretString)>,
}

/// Why a text names no usable proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Another scheme than `http`.
    #[error("a proxy of the kind `{0}` is not supported: irp goes through `http://` proxies (CONNECT)")]
    Scheme(String),
    /// Not `http://[USER:PASSWORD@]HOST[:PORT]`.
    #[error("the proxy does not read as `http://[USER:PASSWORD@]HOST[:PORT]`")]
    Format,
}

/// Why a proxy did not connect.
#[derive(Debug, thiserror::Error)]
pub enum ProxyRefusal {
    /// It wants a name and a password, or does not take the ones given.
    #[error("it asks for a login: put it into HTTPS_PROXY as http://USER:PASSWORD@HOST:PORT")]
    Login,
    /// It answered with another status than success.
    #[error("it answers {0}")]
    Status(String),
    /// What it sent is not HTTP.
    #[error("its answer is not HTTP")]
    Format,
    /// It did not answer in time.
    #[error("it does not answer")]
    Silent,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

impl ProxyRefusal {
    /// Whether only a changed setting can help.
    pub(crate) fn needs_a_person(&self) -> bool {
        matches!(self, Self::Login | Self::Format)
    }
}

impl Proxy {
    /// The proxy's host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The proxy's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks for a connection to `target` (`HOST:PORT`); afterwards `io` leads there.
    pub(crate) async fn connect(
        &self,
        io: &mut (impl AsyncRead + AsyncWrite + Unpin),
        target: &str,
    ) -> Result<(), ProxyRefusal> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some((user, password)) = &self.login {
            let login = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
            request.push_str(&format!("Proxy-Authorization: Basic {login}\r\n"));
        }
        request.push_str("\r\n");
        io.write_all(request.as_bytes()).await?;
        io.flush().await?;

        // One byte at a time: what follows the head belongs to TLS.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= ANSWER_MAX {
                return Err(ProxyRefusal::Format);
            }
            head.push(io.read_u8().await?);
        }
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = std::str::from_utf8(line).map_err(|_| ProxyRefusal::Format)?;
        let (version, status) = line.split_once(' ').ok_or(ProxyRefusal::Format)?;
        if !version.starts_with("HTTP/1.") {
            return Err(ProxyRefusal::Format);
        }
        match status.split(' ').next().and_then(|code| code.parse::<u16>().ok()) {
            Some(200..=299) => Ok(()),
            Some(407) => Err(ProxyRefusal::Login),
            Some(_) => Err(ProxyRefusal::Status(status.chars().take(80).collect())),
            None => Err(ProxyRefusal::Format),
        }
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        // Without a scheme it is http, as curl reads it.
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(ProxyError::Scheme(scheme.to_owned()));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, address) = rest.rsplit_once('@').map_or((None, rest), |(login, at)| (Some(login), at));
        let authority: Authority = address.parse().map_err(|_| ProxyError::Format)?;
        if authority.host().is_empty() {
            return Err(ProxyError::Format);
        }
        let port = match address.strip_prefix(authority.host()) {
            Some("") => 80,
            _ => authority.port_u16().ok_or(ProxyError::Format)?,
        };
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (percent_decoded(user), percent_decoded(password).into())
        });
        Ok(Self { host: authority.host().to_owned(), port, login })
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(code) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(code);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.login.is_some() { "…@" } else { "" };
        write!(f, "http://{login}{self}")
    }
}

/// What is reached without the proxy: the entries of `NO_PROXY`.
///
/// `example.com` and `.example.com` cover the name and all names below, `example.com:8443` one port only,
/// `10.0.0.0/8` and `10.1.2.3` addresses, `*` everything. Entries that do not read as any of these cover
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    All,
    Net(IpNet),
    Name { suffix: String, port: Option<u16> },
}

impl NoProxy {
    /// Reads the value of `NO_PROXY`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { entries: text.split([',', ' ']).map(str::trim).filter_map(Entry::parse).collect() }
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let address = host.parse::<IpAddr>().ok();
        self.entries.iter().any(|entry| match entry {
            Entry::All => true,
            Entry::Net(net) => address.is_some_and(|address| net.contains(&address)),
            Entry::Name { suffix, port: only } => {
                let below = host.strip_suffix(suffix.as_str());
                below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
                    && only.is_none_or(|only| only == port)
            }
        })
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return Some(Self::Net(net));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Net(address.into()));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let name = name.strip_prefix('*').unwrap_or(name);
        let name: Hostname = name.strip_prefix('.').unwrap_or(name).parse().ok()?;
        Some(Self::Name { suffix: name.into(), port })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::duplex;

    use super::*;

    #[test]
    fn a_proxy_reads_with_and_without_a_login() {
        let proxy: Proxy = "http://me:p%40ss@proxy.test:3128/".parse().unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("proxy.test", 3128));
        let (user, password) = proxy.login.as_ref().unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("me", "p@ss"));
        assert_eq!(format!("{proxy:?} {proxy}"), "http://…@proxy.test:3128 proxy.test:3128");
        assert_eq!("proxy.test".parse::<Proxy>().unwrap().port(), 80);
        assert_eq!("[::1]:8080".parse::<Proxy>().unwrap().port(), 8080);
        assert_eq!("socks5://x".parse::<Proxy>().unwrap_err(), ProxyError::Scheme("socks5".into()));
        for text in ["", "http://", "http://a:99999", "http://a:b", "http://a b"] {
            assert_eq!(text.parse::<Proxy>().unwrap_err(), ProxyError::Format, "{text}");
        }
    }

    #[test]
    fn no_proxy_covers_names_ports_and_networks() {
        let except = NoProxy::parse("example.com, .corp,10.0.0.0/8,one.test:8443 *.star.test,::1,,a b:x");
        for (host, port) in [
            ("example.com", 443),
            ("a.example.com", 443),
            ("x.corp", 1),
            ("10.2.3.4", 1),
            ("one.test", 8443),
            ("a.star.test", 1),
            ("::1", 1),
        ] {
            assert!(except.covers(host, port), "{host}:{port}");
        }
        for (host, port) in [("badexample.com", 443), ("11.2.3.4", 1), ("one.test", 443), ("test", 1)] {
            assert!(!except.covers(host, port), "{host}:{port}");
        }
        assert!(NoProxy::parse("*").covers("anything.test", 1));
    }

    async fn ask(answer: &'static [u8]) -> (Result<(), ProxyRefusal>, String) {
        let (mut here, mut there) = duplex(16);
        let proxy: Proxy = "http://me:secret@proxy.test:3128".parse().unwrap();
        let server = async {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                seen.push(there.read_u8().await.unwrap());
            }
            there.write_all(answer).await.unwrap();
            drop(there);
            String::from_utf8(seen).unwrap()
        };
        tokio::join!(proxy.connect(&mut here, "edge.test:443"), server)
    }

    #[tokio::test]
    async fn connect_asks_with_a_login_and_takes_only_success() {
        let (result, seen) = ask(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await;
        assert!(result.is_ok());
        assert!(seen.starts_with("CONNECT edge.test:443 HTTP/1.1\r\nHost: edge.test:443\r\n"), "{seen}");
        assert!(seen.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{seen}");
        assert!(matches!(ask(b"HTTP/1.0 407 No\r\n\r\n").await.0, Err(ProxyRefusal::Login)));
        assert!(
            matches!(ask(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.0, Err(ProxyRefusal::Status(why)) if why == "403 Forbidden")
        );
        assert!(matches!(ask(b"SSH-2.0-x\r\n\r\n").await.0, Err(ProxyRefusal::Format)));
        assert!(matches!(ask(b"HTTP/1.1 200").await.0, Err(ProxyRefusal::Io(_))));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,60}") {
            let _ = text.parse::<Proxy>();
            let _ = NoProxy::parse(&text).covers("a.example", 443);
        }
    }
}
