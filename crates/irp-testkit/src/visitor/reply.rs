//! What a visitor gets.

use std::io;

use serde::de::DeserializeOwned;

/// A response, read to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// `HTTP/1.1`, or `HTTP/2` as curl writes it.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// Each field as written, in order, values trimmed.
    pub headers: Vec<(String, String)>,
    /// The body, with the chunks joined.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Vec<(String, String)>,
    /// The statuses of the interim responses (1xx) that came before.
    pub interim: Vec<u16>,
}

impl Reply {
    /// The values of all header fields of this name, in any case.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the first header field of this name, in any case.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, for instance [`crate::origin::Echoed`].
    ///
    /// # Panics
    ///
    /// When the body is something else; the message shows the reply.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    pub(super) fn framing(&self, method: &str) -> io::Result<Framing> {
        if method == "HEAD" || matches!(self.status, 101 | 204 | 304) {
            return Ok(Framing::None);
        }
        match (self.value("transfer-encoding"), self.values("content-length").as_slice()) {
            (Some(coding), []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunks),
            (None, []) => Ok(Framing::Close),
            (None, [length]) => {
                length.parse().map(Framing::Length).map_err(|_| broken("Content-Length", length))
            }
            _ => Err(broken("framing", &format!("{:?}", self.headers))),
        }
    }
}

/// Where a body ends.
pub(super) enum Framing {
    None,
    Length(usize),
    Chunks,
    Close,
}

pub(super) fn parse_head(lines: &[String]) -> io::Result<Reply> {
    let (first, fields) = lines.split_first().ok_or_else(|| broken("head", ""))?;
    let mut words = first.splitn(3, ' ');
    let version = words.next().filter(|version| version.starts_with("HTTP/")).map(ToOwned::to_owned);
    let status = words.next().and_then(|status| status.parse().ok());
    let (Some(version), Some(status)) = (version, status) else { return Err(broken("status line", first)) };
    let headers = fields.iter().map(|line| parse_field(line)).collect::<io::Result<_>>()?;
    Ok(Reply { version, status, headers, ..Reply::default() })
}

pub(super) fn parse_field(line: &str) -> io::Result<(String, String)> {
    let (name, value) = line.split_once(':').ok_or_else(|| broken("field", line))?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn broken(what: &str, found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("bad {what}: {found:?}"))
}
