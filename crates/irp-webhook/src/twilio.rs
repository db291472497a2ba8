//! What Twilio signs: the URL, and the parameters of a form; of other bodies, the hash that the URL carries.

use std::borrow::Cow;

use aws_lc_rs::{constant_time, digest};

use crate::{Failure, Request, encoding::unhex, form, template::Text};

/// The parameter with the hash of a body that is no form.
const BODY_HASH: &str = "bodySHA256";

/// The texts of which one must be the signed one: with the port as it is, and with the default port added or
/// removed.
pub(crate) fn texts<'a>(request: &Request<'a>) -> Result<Vec<Text<'a>>, Failure> {
    let parameters = if request.is_form() {
        parameters(request.body)
    } else {
        check_hash(request)?;
        Vec::new()
    };
    let urls = spellings(request.url).into_iter();
    let text = |url: Cow<'a, str>| -> Text<'a> {
        let url = match url {
            Cow::Borrowed(url) => Cow::Borrowed(url.as_bytes()),
            Cow::Owned(url) => Cow::Owned(url.into_bytes()),
        };
        std::iter::once(url).chain(parameters.iter().cloned()).collect()
    };
    Ok(urls.map(text).collect())
}

/// Names and values in the order of the names; of a name that is there several times, its distinct values.
fn parameters(body: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut pairs: Vec<_> = form::pairs(body).collect();
    pairs.sort();
    pairs.dedup();
    pairs.into_iter().flat_map(|(name, value)| [name, value]).collect()
}

/// A body that is no form must be the one whose hash the signed URL carries; without a body there is nothing to
/// carry.
fn check_hash(request: &Request<'_>) -> Result<(), Failure> {
    if request.body.is_empty() && form::field(request.query().as_bytes(), BODY_HASH).is_none() {
        return Ok(());
    }
    let hash = form::text(request.query().as_bytes(), BODY_HASH)
        .ok_or_else(|| Failure::Missing(format!("{BODY_HASH} in the URL")))?;
    let hash = unhex(&hash).ok_or_else(|| Failure::Malformed(format!("{BODY_HASH} in the URL")))?;
    let own = digest::digest(&digest::SHA256, request.body);
    constant_time::verify_slices_are_equal(own.as_ref(), &hash).map_err(|_| Failure::BodyHash)
}

/// The URL for a body that is no form: with its hash.
pub(crate) fn url_with_hash(url: &str, body: &[u8]) -> String {
    let hash = crate::encoding::hex(digest::digest(&digest::SHA256, body).as_ref());
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("bodySHA256="));
    let query: Vec<&str> = others.collect();
    let own = format!("{BODY_HASH}={hash}");
    let query: Vec<&str> = query.into_iter().chain([own.as_str()]).collect();
    format!("{path}?{}", query.join("&"))
}

fn spellings(url: &str) -> Vec<Cow<'_, str>> {
    let mut urls = vec![Cow::Borrowed(url)];
    let Some((scheme, rest)) = url.split_once("://") else { return urls };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let default = if scheme == "http" { "80" } else { "443" };
    // An address of IPv6 has colons inside its brackets.
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    urls.push(Cow::Owned(match port {
        Some((host, _)) => format!("{scheme}://{host}{path}"),
        None => format!("{scheme}://{authority}:{default}{path}"),
    }));
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_port_may_be_there_or_not() {
        let of = |url: &'static str| spellings(url).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            of("https://a.example/x?y=z:1"),
            ["https://a.example/x?y=z:1", "https://a.example:443/x?y=z:1"]
        );
        assert_eq!(of("https://a.example:8443"), ["https://a.example:8443", "https://a.example"]);
        assert_eq!(of("https://[::1]/"), ["https://[::1]/", "https://[::1]:443/"]);
        assert_eq!(of("nonsense"), ["nonsense"]);
    }

    #[test]
    fn the_hash_of_the_body_goes_into_the_url_once() {
        let url = url_with_hash("https://a/x?b=1&bodySHA256=00", b"");
        assert!(url.starts_with("https://a/x?b=1&bodySHA256=e3b0c442"), "{url}");
        assert!(url_with_hash("https://a/x", b"").starts_with("https://a/x?bodySHA256=e3b0"));
    }
}
