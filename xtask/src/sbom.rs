//! `cargo xtask sbom`: what the program is made of, for those who have to know: each crate with version, licence, origin
//! and hash, as a document of CycloneDX. The same sources give the same bytes.
//!
//! cargo-cyclonedx leaves a file beside each manifest of a workspace, so it works on a copy. It goes by what cargo resolves,
//! which is more than cargo builds: a scanner would find faults in crates that no program of ours has. So what `cargo tree`
//! does not show is taken out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{cargo, dependencies::Tool, linux::epoch, said, stage, succeed, workspace};

const TOOL: Tool = Tool { name: "cargo-cyclonedx", version: "0.5.9" };

/// All that describes the dependencies, and the sources, without which cargo takes a manifest for broken.
const COPIED: &[&str] = &["Cargo.lock", "Cargo.toml", "bench", "crates", "xtask"];

/// What the tool's file is called, beside the manifest.
const FILE: &str = "sbom";

const FILTER: &str = include_str!("sbom.jq");

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    out: PathBuf,
}

impl Options {
    pub(crate) fn parse(args: &[&str]) -> Result<Self, String> {
        match args {
            [] => Ok(Self { out: workspace().join("target/sbom") }),
            ["--out", out] => Ok(Self { out: out.into() }),
            other => Err(format!("what is {}?", other.join(" "))),
        }
    }
}

/// Writes the document into the folder.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let tool = TOOL.provide()?;
    stage("what the program is made of");
    let copy = workspace().join("target/peers/sbom");
    copied(&copy)?;
    // What is found is told as it is in links.
    let copy = copy.canonicalize().map_err(|error| in_words(&copy, &error))?;
    // There is one document for all that a release has, on all platforms.
    let mut write = Command::new(tool);
    write.args(["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5"]);
    write.args(["--all", "--target", "all", "--override-filename", FILE, "--manifest-path"]);
    write.arg(copy.join("crates/irp/Cargo.toml")).env("SOURCE_DATE_EPOCH", epoch()).current_dir(workspace());
    succeed(&mut write)?;
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--package", "irp", "--target", "all", "--edges", "normal,build"]);
    let tree = said(tree.args(["--prefix", "none", "--format", "{p}"]))?;
    let mut filter = Command::new("jq");
    filter.args(["--arg", "kept", &tree, "--arg", "folder"]).arg(&copy);
    let document = said(filter.arg(FILTER).arg(copy.join(format!("crates/irp/{FILE}.json"))))?;
    let to = options.out.join(format!("irp-{}-sbom.cdx.json", env!("CARGO_PKG_VERSION")));
    fs::create_dir_all(&options.out).map_err(|error| in_words(&options.out, &error))?;
    fs::write(&to, document).map_err(|error| in_words(&to, &error))?;
    println!("{}", to.display());
    Ok(())
}

/// A copy of the workspace in a fresh folder.
fn copied(to: &Path) -> Result<(), String> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(|error| in_words(to, &error))?;
    }
    fs::create_dir_all(to).map_err(|error| in_words(to, &error))?;
    let from = COPIED.iter().map(|name| workspace().join(name));
    succeed(Command::new("cp").arg("--recursive").args(from).arg(to))
}

fn in_words(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter makes of a document, or what it says of it.
    fn filtered(kept: &str, document: &str) -> Result<String, String> {
        let file = std::env::temp_dir().join(format!("irp-sbom-{}-{}", std::process::id(), kept.len()));
        fs::write(&file, document).unwrap();
        let mut jq = Command::new("jq");
        jq.args(["--compact-output", "--arg", "kept", kept, "--arg", "folder", "/srv/alice/irp", FILTER]);
        let told = said(jq.arg(&file));
        fs::remove_file(&file).unwrap();
        told.map(|text| text.trim().to_owned())
    }

    #[test]
    fn what_is_not_built_is_taken_out_and_what_is_missing_is_told() {
        let document = r#"{"metadata":{"component":{"name":"irp","version":"1"}},"components":[
            {"bom-ref":"file:///srv/alice/irp/a#1","name":"a","version":"1"},{"bom-ref":"b#2","name":"b","version":"2"}],
            "dependencies":[{"ref":"file:///srv/alice/irp/a#1","dependsOn":["b#2"]},{"ref":"b#2"}]}"#;
        let told = r#"{"metadata":{"component":{"name":"irp","version":"1"}},"components":[{"bom-ref":"file:///irp/a#1","name":"a","version":"1"}],"dependencies":[{"ref":"file:///irp/a#1","dependsOn":[]}]}"#;
        let kept = "irp v1 (/srv/alice/irp)\na v1\na v1 (*)\n";
        assert_eq!(filtered(kept, document), Ok(told.to_owned()));
        let missing = filtered("irp v1\na v1\nb v2\nc v3\n", document).unwrap_err();
        assert!(missing.contains("not told: c v3"), "{missing}");
    }

    #[test]
    fn a_folder_may_be_named() {
        assert_eq!(Options::parse(&["--out", "o"]), Ok(Options { out: "o".into() }));
        assert!(Options::parse(&["o"]).is_err());
    }
}
