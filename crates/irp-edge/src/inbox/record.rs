//! A parked event, and its form on the disk: the length of a head as four bytes, big-endian; the head, as JSON; the
//! body as it came. Sealed, so that only what this edge wrote is ever read here.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use irp_wire::name::Hostname;
use serde::{Deserialize, Serialize};

/// A verified request that waits for its upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it is to go, and what is known about it.
    pub head: Head,
    /// The headers for the upstream, as they were when it came.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What is known about an event beside headers and body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// For which name.
    pub host: Hostname,
    /// The public URL that was called, which some providers sign.
    pub url: String,
    /// Path and query.
    pub target: String,
    /// Whose it is.
    pub provider: String,
    /// What the provider calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// With which of the provider's secrets it was signed.
    pub key: usize,
    /// The same in all attempts of one delivery; `None` where nothing tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// When it was parked, in milliseconds since 1970.
    pub parked_at: u64,
}

/// Tells one delivery of a provider from all others.
pub type Identity = [u8; 32];

/// What is on the disk is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no event")]
pub struct Malformed;

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    head: Head,
    /// Values as text, each byte one letter: headers may hold any byte from 0x80 on.
    headers: Vec<(String, String)>,
}

impl Head {
    /// The path without the query: events of one path keep their order.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

impl Event {
    /// Bytes that it takes, more or less.
    #[must_use]
    pub fn size(&self) -> u64 {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 8).sum();
        let size = self.body.len() + headers + self.head.url.len() + self.head.target.len() + 256;
        u64::try_from(size).unwrap_or(u64::MAX)
    }

    /// Its form on the disk.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let headers = self.headers.iter().map(|(name, value)| {
            let text = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
            (name.as_str().to_owned(), text)
        });
        let stored = Stored { head: self.head.clone(), headers: headers.collect() };
        // These types always serialise.
        let head = serde_json::to_vec(&stored).unwrap_or_default();
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(4 + head.len() + self.body.len());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads it back.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Malformed)?;
        let (head, body) = rest.split_at_checked(length).ok_or(Malformed)?;
        let stored: Stored = serde_json::from_slice(head).map_err(|_| Malformed)?;
        let mut headers = HeaderMap::with_capacity(stored.headers.len());
        for (name, text) in stored.headers {
            let name: HeaderName = name.parse().map_err(|_| Malformed)?;
            let value: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(letter).ok()).collect();
            let value = HeaderValue::from_bytes(&value.ok_or(Malformed)?).map_err(|_| Malformed)?;
            headers.try_append(name, value).map_err(|_| Malformed)?;
        }
        Ok(Self { head: stored.head, headers, body: Bytes::copy_from_slice(body) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An event of this path, with this delivery's number.
    pub(in crate::inbox) fn event(path: &str, number: u8) -> Event {
        let mut headers = HeaderMap::new();
        headers.append("x-slack-signature", HeaderValue::from_static("v0=ab"));
        headers.append("x-twice", HeaderValue::from_static("1"));
        headers.append("x-twice", HeaderValue::from_bytes(b"gr\xc3\xbc\xff").unwrap());
        Event {
            head: Head {
                host: "alice.localhost".parse().unwrap(),
                url: format!("https://alice.localhost{path}?a=b"),
                target: format!("{path}?a=b"),
                provider: "slack".into(),
                kind: Some("event_callback message".into()),
                key: 0,
                identity: Some([number; 32]),
                parked_at: 1_700_000_000_000 + u64::from(number),
            },
            headers,
            body: Bytes::from(vec![number; 64]),
        }
    }

    #[test]
    fn an_event_comes_back_to_the_byte() {
        let event = event("/slack/events", 3);
        assert_eq!(Event::from_bytes(&event.to_bytes()), Ok(event.clone()));
        assert_eq!(event.head.path(), "/slack/events");
        let bytes = event.to_bytes();
        for cut in 0..bytes.len() - event.body.len() {
            assert_eq!(Event::from_bytes(&bytes[..cut]), Err(Malformed), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256), head in ".{0,64}") {
            let _ = Event::from_bytes(&bytes);
            let length = u32::try_from(head.len()).unwrap().to_be_bytes();
            let _ = Event::from_bytes(&[&length[..], head.as_bytes()].concat());
        }
    }
}
