//! Webhooks: who sent this request, and what is to be answered while nobody is there. Pure: no I/O, and the
//! time is an argument.
//!
//! Each provider is one row of [`TABLE`]: where the signature stands and in what form, with which algorithm and
//! over which text it is made, where the time and the delivery's number stand; and its manners: how long it
//! waits, what it calls an event, which handshake it wants. A [`Row`] that a user writes has the same fields
//! as those of the table. Code beyond the rows exists only for Twilio's parameters, HubSpot's escapes and the
//! certificates of AWS SNS.
//!
//! What must hold: signatures are compared over the raw bytes as received, in constant time, after they were
//! decoded; a header that is there twice is refused, unless it is a list; a time is believed only if it is
//! signed and within the row's tolerance in both directions; secrets do not print.

mod answer;
mod encoding;
mod failure;
mod form;
mod handshake;
mod json;
mod key;
mod kind;
mod manners;
mod offline;
mod provider;
mod replay;
mod row;
mod sample;
mod sign;
mod slack;
mod sns;
mod source;
mod table;
mod template;
mod timestamp;
mod twilio;
mod verify;

pub use answer::Answer;
pub use failure::Failure;
pub use handshake::{Handshake, Settings};
pub use key::{KeyError, Secret};
pub use kind::{Kind, NAME_MAX};
pub use manners::{DEADLINE, Manners};
pub use offline::{OFFLINE_TEXT, Offline};
pub use provider::Provider;
pub use replay::{Replays, Seen};
pub use row::{Row, RowError};
pub use sample::Sample;
pub use sign::{SignError, Signed};
pub use sns::{Certificate, CertificateError, CertificateUrl, SubscribeUrl};
pub use table::TABLE;
pub use verify::{Verified, Verifier};

/// A request as it came from the Internet.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The public URL that was called: `https://`, the host as the caller named it, the path and the query as
    /// they stood on the request line. Some providers sign it.
    pub url: &'a str,
    /// The headers.
    pub headers: &'a http::HeaderMap,
    /// The raw body.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// The query of the URL, without its question mark; empty where there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.url.split_once('?').map_or("", |(_, query)| query)
    }

    /// Whether the body is a form, by its media type.
    #[must_use]
    pub fn is_form(&self) -> bool {
        let kind = self.headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    }
}
