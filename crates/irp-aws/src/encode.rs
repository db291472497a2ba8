//! Percent encoding as signatures demand it: everything but RFC 3986's unreserved characters, in upper case.

use std::fmt::Write as _;

/// Encodes a value of a query or form, or one segment of a path.
pub(crate) fn component(text: &str) -> String {
    encode(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Encodes a path whose slashes separate, such as the key of an object.
pub(crate) fn path(text: &str) -> String {
    encode(text, |byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte))
}

/// `name=value` pairs, as in a query or form.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&component(name));
        text.push('=');
        text.push_str(&component(value));
    }
    text
}

fn encode(text: &str, is_plain: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(component("a-b_c.d~e/f g+ä="), "a-b_c.d~e%2Ff%20g%2B%C3%A4%3D");
        assert_eq!(path("cert/a b"), "cert/a%20b");
        assert_eq!(
            pairs([("Filter.1.Name", "tag:irp:host"), ("a", "")]),
            "Filter.1.Name=tag%3Airp%3Ahost&a="
        );
    }
}
