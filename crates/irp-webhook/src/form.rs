//! Forms: `application/x-www-form-urlencoded`, as in queries and bodies.

use std::borrow::Cow;

/// The pairs of a form, decoded, in their order. What is no valid escape stays as it is, as browsers' URL
/// standard has it.
pub(crate) fn pairs(form: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
        (decoded(name), decoded(value))
    })
}

/// The one value of `name`; `None` where there is none, or more than one.
pub(crate) fn field<'a>(form: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    let mut values = pairs(form).filter(|(key, _)| key.as_ref() == name.as_bytes());
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value)
}

/// The same as text.
pub(crate) fn text(form: &[u8], name: &str) -> Option<String> {
    String::from_utf8(field(form, name)?.into_owned()).ok()
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let escaped = tail.first_chunk::<2>().filter(|_| *first == b'%').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            crate::encoding::unhex(digits)?.first().copied()
        });
        rest = if escaped.is_some() { &tail[2..] } else { tail };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_what_is_none_stays() {
        let form = b"a=1+2&b=%2Fx%2f&c&=d&&e=100%&f=%zz%4";
        let found: Vec<_> =
            pairs(form).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let expected: [(&[u8], &[u8]); 6] =
            [(b"a", b"1 2"), (b"b", b"/x/"), (b"c", b""), (b"", b"d"), (b"e", b"100%"), (b"f", b"%zz%4")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
    }

    #[test]
    fn a_field_that_is_there_twice_is_none() {
        assert_eq!(text(b"a=1&b=2", "b"), Some("2".into()));
        assert_eq!(text(b"a=1&a=2", "a"), None);
        assert_eq!(text(b"a=%ff", "a"), None);
        assert_eq!(text(b"", "a"), None);
    }
}
