//! The live lines: one for each request that a visitor made.

use std::{fmt::Write as _, time::Duration};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::escape::escape;

/// The longest path on a line, in characters.
const PATH_MOST: usize = 60;

/// The longest remark on a line, in characters.
const REMARK_MOST: usize = 120;

/// A request and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Exchange {
    /// The name that the visitor asked for.
    pub(crate) host: String,
    /// The method.
    pub(crate) method: String,
    /// The path, as the visitor sent it.
    pub(crate) path: String,
    /// The status of the answer; `None` when there was none.
    pub(crate) status: Option<u16>,
    /// Until the head of the answer was there, in milliseconds.
    pub(crate) ms: u64,
    /// A few words more, such as why the edge answered by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remark: Option<String>,
}

impl Exchange {
    /// The line, with colours; `time` is the time of day.
    pub(crate) fn line(&self, time: &str) -> String {
        let method = escape(&self.method, 16);
        let path = escape(&self.path, PATH_MOST);
        let dim = Style::new().dimmed();
        let colour = status_style(self.status.unwrap_or(0));
        let status = self.status.map_or("–".to_owned(), |status| status.to_string());
        let mut line = format!("  {dim}{time}{dim:#}  {method:<4} {path:<21}");
        // Writing to a string cannot fail.
        let _ = write!(line, " {colour}{status:>3}{colour:#} {:>8}", milliseconds(self.ms));
        if let Some(remark) = &self.remark {
            let _ = write!(line, "   {dim}{}{dim:#}", escape(remark, REMARK_MOST));
        }
        line
    }
}

fn milliseconds(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { crate::clock::words(Duration::from_millis(ms)) }
}

fn status_style(status: u16) -> Style {
    let colour = match status {
        0 => return Style::new().dimmed(),
        1..=299 => AnsiColor::Green,
        300..=399 => AnsiColor::Cyan,
        400..=499 => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    Style::new().fg_color(Some(colour.into()))
}

/// A count as people read it: `1 234`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(path: &str, remark: Option<&str>) -> String {
        let exchange = Exchange {
            host: "alice.example.com".into(),
            method: "POST".into(),
            path: path.into(),
            status: Some(200),
            ms: 12,
            remark: remark.map(Into::into),
        };
        anstream::adapter::strip_str(&exchange.line("10:02:11")).to_string()
    }

    #[test]
    fn a_line_tells_time_method_path_status_and_duration() {
        assert_eq!(exchange("/slack/events", None), "  10:02:11  POST /slack/events         200    12 ms");
        assert_eq!(
            exchange("/slack/events", Some("at the edge")),
            "  10:02:11  POST /slack/events         200    12 ms   at the edge"
        );
    }

    #[test]
    fn a_visitor_cannot_write_to_the_terminal() {
        let line = exchange("/\u{1b}]0;owned\u{7}\n", Some("\u{1b}[31m"));
        assert!(!line.contains(['\u{1b}', '\u{7}', '\n']), "{line:?}");
        assert!(exchange(&"x".repeat(500), None).chars().count() < 110);
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!([0, 999, 1_234, 1_234_567].map(grouped), ["0", "999", "1 234", "1 234 567"]);
    }
}
