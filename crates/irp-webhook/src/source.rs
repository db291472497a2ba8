//! Where a value stands: in a header, or in a field of the body.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use crate::{Failure, Request, form, json};

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Header(HeaderName),
    /// The keys on the way to it, from the outside in; in a form, their last one.
    Body(Vec<String>),
}

impl Source {
    /// `header:NAME`, or `body:KEY.KEY`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, what) = text.split_once(':')?;
        match kind {
            "header" => what.parse().ok().map(Self::Header),
            "body" if !what.is_empty() => Some(Self::Body(what.split('.').map(ToOwned::to_owned).collect())),
            _ => None,
        }
    }

    /// How it is called in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Header(name) => name.to_string(),
            Self::Body(path) => format!("the body's {}", path.join(".")),
        }
    }

    /// The value, without blanks around it.
    pub(crate) fn value<'a>(&self, request: &Request<'a>) -> Result<Cow<'a, str>, Failure> {
        self.find(request)?.ok_or_else(|| Failure::Missing(self.name()))
    }

    /// The same where it may be missing.
    pub(crate) fn find<'a>(&self, request: &Request<'a>) -> Result<Option<Cow<'a, str>>, Failure> {
        Ok(match self {
            Self::Header(name) => single(request.headers, name)?.map(Cow::Borrowed),
            Self::Body(path) => {
                let last = path.last().map_or("", String::as_str);
                let found = if request.is_form() {
                    form::text(request.body, last)
                } else {
                    json::text(request.body, path)
                };
                found.map(Cow::Owned)
            }
        })
    }
}

/// The one value of a header; `None` where it is not there.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failure::Repeated(name.to_string()));
    }
    let text = std::str::from_utf8(first.as_bytes()).map_err(|_| Failure::Malformed(name.to_string()))?;
    Ok(Some(text.trim_ascii()))
}

/// All values of a list header, joined.
pub(crate) fn joined(
    headers: &HeaderMap,
    name: &HeaderName,
    separator: char,
) -> Result<Option<String>, Failure> {
    let mut list: Option<String> = None;
    for value in headers.get_all(name) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Failure::Malformed(name.to_string()))?;
        match &mut list {
            None => list = Some(text.trim_ascii().to_owned()),
            Some(list) => {
                list.push(separator);
                list.push_str(text.trim_ascii());
            }
        }
    }
    Ok(list)
}
