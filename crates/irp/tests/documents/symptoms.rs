//! The words by which a page on trouble is searched, compared with the sources that say them.

use std::{fs, path::Path};

use crate::pages::{Page, code_spans, root};

/// The quotes of the page's tables: what stands in backticks in the column under `words`.
pub(crate) fn quoted(page: &Page) -> impl Iterator<Item = (usize, &str)> {
    let mut column = None;
    page.sentences().flat_map(move |(line, text)| {
        if !text.starts_with('|') {
            column = None;
            return Vec::new();
        }
        let cells: Vec<&str> = text.split('|').map(str::trim).collect();
        column = column.or_else(|| cells.iter().position(|cell| *cell == "words"));
        let cell = column.and_then(|column| cells.get(column)).copied().unwrap_or_default();
        code_spans(cell).0.into_iter().map(|span| (line, span)).collect()
    })
}

/// Quotes of which a piece between two `…` stands in no source.
pub(crate) fn unheard_of(page: &Page) -> Vec<String> {
    let mut sources = String::new();
    for folder in fs::read_dir(root().join("crates")).unwrap() {
        let folder = folder.unwrap().path();
        for inner in ["src", "machine"] {
            collect(&folder.join(inner), &mut sources);
        }
    }
    let is_said = |piece: &str| sources.contains(piece.trim());
    let unheard = quoted(page).filter(|(_, quote)| !quote.split('…').all(is_said));
    unheard.map(|(line, quote)| format!("{}:{line}: `{quote}`", page.name)).collect()
}

fn collect(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if let Ok(text) = fs::read_to_string(&path) {
            // A text that goes on in the next line has the blanks there left out.
            let text = text.replace("\\\"", "\"");
            let mut pieces = text.split("\\\n");
            sources.extend(pieces.next());
            sources.extend(pieces.map(str::trim_start));
        }
    }
}
