//! An answer that is made here, in the place of the developer's program.

use http::{HeaderName, HeaderValue, StatusCode, header};

/// An answer of the edge's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers beyond the length.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An empty answer.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// 200 with plain text. What a stranger chose may be in it, so no browser is to take it for anything else.
    pub(crate) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::of("text/plain; charset=utf-8", text.into())
    }

    /// 200 with JSON.
    pub(crate) fn json(json: &serde_json::Value) -> Self {
        Self::of("application/json", json.to_string().into_bytes())
    }

    /// 200 with XML.
    pub(crate) fn xml(text: &str) -> Self {
        Self::of("text/xml; charset=utf-8", text.into())
    }

    fn of(kind: &'static str, body: Vec<u8>) -> Self {
        let headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        Self { status: StatusCode::OK, headers, body }
    }
}
