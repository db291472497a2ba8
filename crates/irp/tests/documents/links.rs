//! Links between the files of the repository.

use std::path::{Component, Path};

use crate::pages::{Page, code_spans, root};

/// A link.
pub(crate) struct Link {
    line: usize,
    /// What stands in its round brackets.
    pub(crate) target: String,
}

/// All links and pictures of a page.
pub(crate) fn links(page: &Page) -> impl Iterator<Item = Link> {
    page.sentences().flat_map(|(line, text)| {
        let (_, text) = code_spans(text);
        let targets = text.split("](").skip(1).filter_map(|behind| behind.split_once(')'));
        let targets = targets.filter_map(|(inner, _)| inner.split_whitespace().next().map(str::to_owned));
        targets.map(move |target| Link { line, target }).collect::<Vec<_>>()
    })
}

/// The file that a target means, below the root; `None` for what is elsewhere on the Internet.
pub(crate) fn file(page: &Page, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() {
        return Some(page.name.clone());
    }
    let mut parts: Vec<&str> = Vec::new();
    let folder = Path::new(&page.name).parent().unwrap_or(Path::new(""));
    for part in folder.components().chain(Path::new(path).components()) {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(part) => parts.push(part.to_str()?),
            _ => {}
        }
    }
    Some(parts.join("/"))
}

/// What is wrong with the links of a page.
pub(crate) fn broken(page: &Page, pages: &[Page]) -> Vec<String> {
    links(page)
        .filter_map(|link| Some(format!("{}:{}: {}", page.name, link.line, wrong(page, &link, pages)?)))
        .collect()
}

fn wrong(page: &Page, link: &Link, pages: &[Page]) -> Option<String> {
    let target = &link.target;
    let file = file(page, target)?;
    if !root().join(&file).exists() {
        return Some(format!("{target}: there is no {file}"));
    }
    let (_, anchor) = target.split_once('#')?;
    let Some(aim) = pages.iter().find(|page| page.name == file) else {
        return Some(format!("{target}: {file} has no headings"));
    };
    let is_there = aim.anchors().any(|other| other == anchor);
    (!is_there).then(|| format!("{target}: {file} has no such heading"))
}
