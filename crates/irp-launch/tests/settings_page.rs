//! The page on AWS names every setting, with its default.

use irp_launch::settings::Key;

const PAGE: &str = include_str!("../../../docs/getting-started-aws.md");

#[test]
fn each_setting_is_in_the_table() {
    for key in Key::all() {
        let name = format!("`{key}`");
        let row = PAGE.lines().find(|line| line.starts_with("| `") && line.contains(&name));
        assert!(row.is_some(), "{key} is not in the table");
        let default = key.default().map(|text| format!("`{text}`"));
        assert!(default.is_none_or(|text| row.is_some_and(|row| row.contains(&text))), "{key}: {row:?}");
    }
}
