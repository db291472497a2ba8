//! Text in columns.

use super::escape::escape;

/// The widest a column may be, in characters.
const CELL_MOST: usize = 100;

/// The lines of a table, the heads first; every cell harmless, every column as wide as its widest cell.
pub(super) fn lines(heads: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows = rows.iter().map(|row| row.iter().map(|cell| escape(cell, CELL_MOST)).collect::<Vec<_>>());
    let all: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..all[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "b\u{7}".to_owned()], vec!["longer".to_owned(), "é".to_owned()]];
        assert_eq!(lines(&["ONE", "TWO"], &rows), ["ONE     TWO", "a       b\\u{7}", "longer  é"]);
    }
}
