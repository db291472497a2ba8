//! Text from strangers, made harmless for a terminal.
//!
//! A visitor chooses the path, and an edge the sentences that it sends. Without this, either could move the
//! cursor, change the title, or make a line read backwards on the developer's terminal.

use std::fmt::Write as _;

/// Replaces what a terminal would obey or not show: control characters (C0, DEL, C1), line separators,
/// and marks that change the direction of text. At most `longest` characters are kept, then `…`.
pub(crate) fn escape(text: &str, longest: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(longest));
    let mut shown = 0;
    for c in text.chars() {
        if shown >= longest {
            safe.push('…');
            break;
        }
        let before = safe.len();
        if is_harmful(c) {
            // Writing to a string cannot fail.
            let _ = write!(safe, "{}", c.escape_unicode());
        } else {
            safe.push(c);
        }
        shown += safe[before..].chars().count();
    }
    safe
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Zero width, and left-to-right marks.
            '\u{200b}'..='\u{200f}'
            // Line and paragraph separators; embeddings and overrides.
            | '\u{2028}'..='\u{202e}'
            // Isolates.
            | '\u{2060}'..='\u{206f}'
            | '\u{061c}' | '\u{feff}'
            // Tags, invisible.
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_spelled_out() {
        assert_eq!(escape("/a\u{1b}[2J\r\n\u{9b}31m\u{7f}", 99), r"/a\u{1b}[2J\u{d}\u{a}\u{9b}31m\u{7f}");
        assert_eq!(escape("/\u{202e}txt.exe", 99), r"/\u{202e}txt.exe");
        assert_eq!(escape("/カフェ/é", 99), "/カフェ/é");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(escape("/abcdef", 4), "/abc…");
        assert_eq!(escape("/abc", 4), "/abc");
    }
}
