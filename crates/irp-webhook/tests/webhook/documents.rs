//! The documents name every provider, with the words that a person has to type.

use std::{fs, path::Path};

use irp_webhook::Provider;

#[test]
fn each_provider_has_its_place_in_the_documents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/webhooks");
    let pages: Vec<(String, String)> = fs::read_dir(&folder)
        .unwrap()
        .map(|page| page.unwrap())
        .map(|page| (page.file_name().into_string().unwrap(), fs::read_to_string(page.path()).unwrap()))
        .collect();
    let index = &pages.iter().find(|(name, _)| name == "README.md").unwrap().1;
    for provider in Provider::all() {
        let (name, manners) = (provider.name(), provider.manners());
        assert!(index.contains(&format!("`{name}`")), "README.md does not list {name}");
        let explains = |(page, text): &&(String, String)| {
            let is_named = text.contains(&format!("`{name}`")) || text.contains(&format!("--verify {name}"));
            page != "README.md" && is_named && text.contains(manners.variable)
        };
        assert!(pages.iter().any(|page| explains(&page)), "no page tells how to set up {name}");
    }
    for (name, _) in pages.iter().filter(|(name, _)| name != "README.md") {
        assert!(index.contains(&format!("]({name})")), "README.md does not lead to {name}");
    }
}
