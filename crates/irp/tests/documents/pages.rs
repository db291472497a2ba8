//! The pages of this repository: their headings, sentences and code blocks, as far as tests look at them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A page.
pub(crate) struct Page {
    /// Its path below the root of the repository, with `/`.
    pub(crate) name: String,
    lines: Vec<String>,
}

/// A fenced block.
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    /// What stands behind the fence: `sh`, `toml`, or nothing.
    pub(crate) language: String,
    /// Its lines, without the indentation of the list that it is in.
    pub(crate) text: String,
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All pages.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    collect(&root(), "", &mut pages);
    pages.sort_by(|one, other| one.name.cmp(&other.name));
    pages
}

/// What was built, installed or fetched is not ours.
const NOT_OURS: [&str; 3] = ["target", "node_modules", "corpus"];

fn collect(folder: &Path, prefix: &str, pages: &mut Vec<Page>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let file = entry.file_name().into_string().unwrap();
        if file.starts_with('.') || NOT_OURS.contains(&file.as_str()) {
            continue;
        }
        let name = format!("{prefix}{file}");
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), pages);
        } else if Path::new(&file).extension().is_some_and(|extension| extension == "md") {
            let lines = fs::read_to_string(entry.path()).unwrap().lines().map(str::to_owned).collect();
            pages.push(Page { name, lines });
        }
    }
}

impl Page {
    /// Lines outside code blocks, with their numbers from 1.
    pub(crate) fn sentences(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut is_code = false;
        self.lines.iter().enumerate().filter_map(move |(index, line)| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            (!is_code && !is_fence).then_some((index + 1, line.as_str()))
        })
    }

    /// The fenced blocks.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> {
        let mut lines = self.lines.iter().enumerate();
        std::iter::from_fn(move || {
            let (index, fence) = lines.find(|(_, line)| line.trim_start().starts_with("```"))?;
            let indent = fence.len() - fence.trim_start().len();
            let inner = lines.by_ref().take_while(|(_, line)| line.trim() != "```");
            let text =
                inner.map(|(_, line)| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect();
            Some(Block { line: index + 1, language: fence.trim().trim_start_matches('`').to_owned(), text })
        })
    }

    /// The headings, each with its level: 1 is the title.
    pub(crate) fn headings(&self) -> impl Iterator<Item = (usize, &str)> {
        self.sentences().filter_map(|(_, line)| {
            let level = line.bytes().take_while(|byte| *byte == b'#').count();
            let text = line.get(level..)?.strip_prefix(' ')?;
            (1..=6).contains(&level).then_some((level, text))
        })
    }

    /// What links to the headings have behind `#`, as GitHub makes it.
    pub(crate) fn anchors(&self) -> impl Iterator<Item = String> {
        let mut seen: Vec<String> = Vec::new();
        self.headings().map(move |(_, text)| {
            let plain = anchor(text);
            let before = seen.iter().filter(|other| **other == plain).count();
            seen.push(plain.clone());
            if before == 0 { plain } else { format!("{plain}-{before}") }
        })
    }
}

/// Lower case, blanks to hyphens, and nothing but letters, digits, `-` and `_`.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The pieces of a line that stand in backticks, and the line without them.
pub(crate) fn code_spans(line: &str) -> (Vec<&str>, String) {
    let (mut spans, mut rest) = (Vec::new(), String::new());
    for (index, piece) in line.split('`').enumerate() {
        if index % 2 == 0 {
            rest.push_str(piece);
        } else {
            spans.push(piece);
            rest.push(' ');
        }
    }
    (spans, rest)
}
