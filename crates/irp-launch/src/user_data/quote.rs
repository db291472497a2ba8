//! Texts inside other languages. What settings let through needs little of this; it is the second line of defence.

/// As one word of a POSIX shell: between single quotes nothing has a meaning but the quote itself.
pub(super) fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// As a string of TOML.
pub(super) fn toml(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn a_shell_reads_back_what_was_quoted(text in "[^\0]{0,60}") {
            let script = format!("printf %s {}", shell(&text));
            let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
            prop_assert_eq!(output.stdout, text.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn toml_reads_back_what_was_quoted(text in "(?s).{0,60}") {
            let table: toml::Table = format!("x = {}\ny = 1\n", toml(&text)).parse().unwrap();
            prop_assert_eq!(table["x"].as_str(), Some(text.as_str()));
            prop_assert_eq!(table.len(), 2);
        }
    }
}
