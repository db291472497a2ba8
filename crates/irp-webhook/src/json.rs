//! One value out of a JSON body, without building the rest of it.
//!
//! A key that is there twice on the way to the value makes it unknown: parsers differ in which one they take.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The text or the whole number at `path`: keys of objects, from the outside in.
pub(crate) fn text(body: &[u8], path: &[impl AsRef<str>]) -> Option<String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = At(path).deserialize(&mut json).ok()?;
    json.end().ok()?;
    found
}

struct At<'p, S>(&'p [S]);

impl<'de, S: AsRef<str>> DeserializeSeed<'de> for At<'_, S> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, S: AsRef<str>> Visitor<'de> for At<'_, S> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((first, rest)) = self.0.split_first() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(None);
        };
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(first.as_ref()))? {
            if !is_it {
                map.next_value::<IgnoredAny>()?;
            } else if found.is_some() {
                return Err(A::Error::custom("the key is there twice"));
            } else {
                found = Some(map.next_value_seed(At(rest))?);
            }
        }
        Ok(found.flatten())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Compares a key without keeping it.
struct Is<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_path() {
        let body = br#"{"a":[{"b":1}],"b":{"c":"x\u0041","n":17,"f":1.5,"t":true},"d":null}"#;
        assert_eq!(text(body, &["b", "c"]), Some("xA".into()));
        assert_eq!(text(body, &["b", "n"]), Some("17".into()));
        for path in [&["a"][..], &["b"], &["b", "f"], &["b", "t"], &["d"], &["a", "b"], &["b", "c", "d"], &[]]
        {
            assert_eq!(text(body, path), None, "{path:?}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_in_two_ways_is_unknown() {
        for body in
            [&br#"{"a":"1","a":"2"}"#[..], b"{\"a\":\"1\"} {}", b"{\"a\":\"1\"", b"", b"{\"a\":\"\xff\"}"]
        {
            assert_eq!(text(body, &["a"]), None);
        }
        // Twice elsewhere is none of our business.
        assert_eq!(text(br#"{"a":"1","b":1,"b":2}"#, &["a"]), Some("1".into()));
    }
}
