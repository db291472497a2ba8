//! What the documents of this repository say that a machine can check: links lead somewhere, commands and flags exist,
//! and the two languages of the README say the same. A failure names file and line.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod links;
mod pages;
mod shell;
mod symptoms;

use pages::{Page, pages};

#[track_caller]
fn nothing_wrong(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let wrong: Vec<_> = pages.iter().flat_map(|page| links::broken(page, &pages)).collect();
    nothing_wrong("these links lead nowhere", &wrong);
    let links: usize = pages.iter().map(|page| links::links(page).count()).sum();
    assert!(links > 50, "only {links} links were looked at");
}

#[test]
fn every_page_can_be_found_from_the_index() {
    let pages = pages();
    let page = |name: &str| pages.iter().find(|page| page.name == name).unwrap();
    let mut found = vec!["README.md".to_owned(), "docs/README.md".to_owned()];
    let mut next = 0;
    while let Some(name) = found.get(next).cloned() {
        for target in links::links(page(&name)).filter_map(|link| links::file(page(&name), &link.target)) {
            if pages.iter().any(|page| page.name == target) && !found.contains(&target) {
                found.push(target);
            }
        }
        next += 1;
    }
    let lost: Vec<_> =
        pages.iter().map(|page| page.name.clone()).filter(|name| !found.contains(name)).collect();
    nothing_wrong("no link leads to these pages", &lost);
}

#[test]
fn commands_in_code_blocks_parse() {
    let wrong: Vec<_> = pages().iter().flat_map(commands::misspelt_in_blocks).collect();
    nothing_wrong("the program does not understand these commands", &wrong);
}

#[test]
fn commands_in_sentences_exist() {
    let wrong: Vec<_> = pages().iter().flat_map(commands::misspelt_in_sentences).collect();
    nothing_wrong("the program does not have these commands or flags", &wrong);
}

#[test]
fn troubleshooting_quotes_what_the_program_says() {
    let pages = pages();
    let page = pages.iter().find(|page| page.name == "docs/troubleshooting.md").unwrap();
    nothing_wrong("nothing in the sources says this", &symptoms::unheard_of(page));
    assert!(symptoms::quoted(page).count() > 40);
}

#[test]
fn both_languages_of_the_readme_say_the_same() {
    let pages = pages();
    let page = |name: &str| pages.iter().find(|page| page.name == name).unwrap();
    let (english, japanese) = (page("README.md"), page("README.ja.md"));
    let levels = |page: &Page| page.headings().map(|(level, _)| level).collect::<Vec<_>>();
    assert_eq!(levels(english), levels(japanese), "the headings differ");
    let blocks = |page: &Page| {
        let blocks = page.blocks().filter(|block| !block.language.is_empty());
        blocks.map(|block| (block.language.clone(), shell::without_comments(&block.text))).collect::<Vec<_>>()
    };
    assert_eq!(blocks(english), blocks(japanese), "the code blocks differ");
    let targets = |page: &Page| {
        let targets = links::links(page).map(|link| link.target).filter(|target| !target.contains("README"));
        let mut targets: Vec<_> = targets.filter(|target| !target.starts_with('#')).collect();
        targets.sort();
        targets
    };
    assert_eq!(targets(english), targets(japanese), "they do not lead to the same places");
}
