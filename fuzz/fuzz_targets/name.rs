//! A host name or a pattern that reads prints as it reads again, and holds nothing that could be taken for
//! something else.

#![no_main]

use std::{fmt, net::IpAddr, str::FromStr};

use irp_wire::name::{Hostname, NAME_MAX, NamePattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(name) = both_ways::<Hostname>(text) {
        let plain = name.as_str();
        assert!(!plain.is_empty() && plain.len() <= NAME_MAX);
        assert!(plain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b)));
        assert!(plain.split('.').all(|label| (1..=63).contains(&label.len())));
        assert!(plain.parse::<IpAddr>().is_err(), "an address is no name");
        assert!(text.eq_ignore_ascii_case(plain) || text.eq_ignore_ascii_case(&format!("{plain}.")));
        // As other programs write it.
        assert_eq!(plain.to_ascii_uppercase().parse(), Ok(name.clone()));
        assert!(NamePattern::from(name.clone()).matches(&name));
    }
    if let Some(pattern) = both_ways::<NamePattern>(text) {
        let below = text.strip_prefix("*.");
        let name: Hostname = below.unwrap_or(text).parse().expect("the name of a pattern");
        assert_eq!(pattern.matches(&name), below.is_none());
        if let Ok(child) = format!("x.{name}").parse() {
            assert_eq!(pattern.matches(&child), below.is_some());
            if let Ok(grandchild) = format!("y.{child}").parse() {
                assert!(!pattern.matches(&grandchild));
            }
        }
    }
});

/// What `text` says; its own text and its JSON say the same.
fn both_ways<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: fmt::Debug + PartialEq> + fmt::Display + fmt::Debug + PartialEq,
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let value: T = text.parse().ok()?;
    assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(&value));
    let json = serde_json::to_string(&value).expect("text is JSON");
    assert_eq!(serde_json::from_str::<T>(&json).expect("its own JSON"), value);
    Some(value)
}
