//! The text that is signed, put together from pieces without a copy of the body.

use std::borrow::Cow;

use crate::{Failure, Request, twilio};

/// What HubSpot decodes in a URL before it signs.
const ESCAPES: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// A text with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Timestamp,
    Id,
    Body,
    Url,
    DecodedUrl,
    Method,
    Secret,
    Twilio,
}

/// What fills the holes.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) timestamp: &'a str,
    pub(crate) id: &'a str,
    pub(crate) secret: &'a [u8],
}

/// A text in pieces.
pub(crate) type Text<'a> = Vec<Cow<'a, [u8]>>;

impl Template {
    /// `None` where a hole has no known name, or nothing of the request is signed at all.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Literal(before.to_owned()));
            }
            let (name, after) = after.split_once('}')?;
            parts.push(match name {
                "ts" => Part::Timestamp,
                "id" => Part::Id,
                "body" => Part::Body,
                "url" => Part::Url,
                "url*" => Part::DecodedUrl,
                "method" => Part::Method,
                "secret" => Part::Secret,
                "twilio" => Part::Twilio,
                _ => return None,
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let template = Self(parts);
        template.0.iter().any(|part| !matches!(part, Part::Literal(_) | Part::Secret)).then_some(template)
    }

    pub(crate) fn has_timestamp(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }

    pub(crate) fn has_id(&self) -> bool {
        self.0.contains(&Part::Id)
    }

    pub(crate) fn has_secret(&self) -> bool {
        self.0.contains(&Part::Secret)
    }

    /// Whether the parameters are sorted into the text, or the URL carries the body's hash.
    pub(crate) fn is_twilio(&self) -> bool {
        self.0.contains(&Part::Twilio)
    }

    /// Whether all of the body is signed.
    pub(crate) fn has_body(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Body | Part::Twilio))
    }

    /// Whether the URL is signed.
    pub(crate) fn has_url(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Url | Part::DecodedUrl | Part::Twilio))
    }

    /// The texts of which one must be the signed one: mostly one, two or three where providers disagree with
    /// themselves about the URL.
    pub(crate) fn texts<'a>(&'a self, values: &Values<'a>) -> Result<Vec<Text<'a>>, Failure> {
        if self.0.contains(&Part::Twilio) {
            return twilio::texts(&values.request);
        }
        let mut texts = vec![self.text(values, values.request.url.into())];
        if self.0.contains(&Part::DecodedUrl)
            && let Cow::Owned(decoded) = decoded(values.request.url)
        {
            texts.push(self.text(values, decoded.into()));
        }
        Ok(texts)
    }

    fn text<'a>(&'a self, values: &Values<'a>, url: Cow<'a, str>) -> Text<'a> {
        let piece = |part: &'a Part| match part {
            Part::Literal(text) => Cow::Borrowed(text.as_bytes()),
            Part::Timestamp => values.timestamp.as_bytes().into(),
            Part::Id => values.id.as_bytes().into(),
            Part::Body => values.request.body.into(),
            Part::Url | Part::DecodedUrl => match &url {
                Cow::Borrowed(url) => url.as_bytes().into(),
                Cow::Owned(url) => url.clone().into_bytes().into(),
            },
            Part::Method => values.request.method.as_bytes().into(),
            Part::Secret => values.secret.into(),
            Part::Twilio => Cow::Borrowed(&b""[..]),
        };
        self.0.iter().map(piece).collect()
    }
}

/// The URL with HubSpot's escapes decoded; borrowed where there are none.
fn decoded(url: &str) -> Cow<'_, str> {
    let mut text = String::new();
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        let escape = rest.get(at..at + 3).unwrap_or_default();
        let known = ESCAPES.iter().find(|(code, _)| escape.eq_ignore_ascii_case(code));
        text.push_str(&rest[..at]);
        let (letters, length) = known.map_or(("%", 1), |(_, letter)| (*letter, 3));
        text.push_str(letters);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    if text == url { Cow::Borrowed(url) } else { Cow::Owned(text) }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn joined(template: &str, url: &str) -> Vec<String> {
        let headers = HeaderMap::new();
        let request = Request { method: "POST", url, headers: &headers, body: b"<body>" };
        let values = Values { request, timestamp: "17", id: "msg", secret: b"key" };
        let template = Template::parse(template).unwrap();
        let texts = template.texts(&values).unwrap();
        texts.iter().map(|text| String::from_utf8(text.concat()).unwrap()).collect()
    }

    #[test]
    fn holes_are_filled() {
        assert_eq!(joined("v0:{ts}:{body}", "u"), ["v0:17:<body>"]);
        assert_eq!(joined("{secret}{method}{url}{id}.", "u"), ["keyPOSTumsg."]);
        for wrong in ["", "text", "{secret}", "{", "{ts", "{what}", "{ts}{}"] {
            assert_eq!(Template::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_url_with_escapes_of_hubspot_has_two_readings() {
        assert_eq!(joined("{url*}", "https://a/b?c=%20"), ["https://a/b?c=%20"]);
        assert_eq!(joined("{url*}", "https://a/%2f%3A%20%2"), ["https://a/%2f%3A%20%2", "https://a//:%20%2"]);
    }
}
