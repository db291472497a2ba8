//! What the manifests say: who may depend on whom, the lints, and where packages come from.

use crate::source::Source;

/// A crate, and those of ours that it may depend on; for its tests, the testkit comes in addition.
const ALLOWED: &[(&str, &[&str])] = &[
    ("irp", &["irp-aws", "irp-client", "irp-edge", "irp-launch", "irp-webhook", "irp-wire"]),
    ("irp-aws", &[]),
    ("irp-client", &["irp-wire"]),
    ("irp-edge", &["irp-webhook", "irp-wire"]),
    ("irp-launch", &["irp-wire"]),
    ("irp-testkit", &[]),
    ("irp-webhook", &[]),
    ("irp-wire", &[]),
];

/// Where every package of a lock file comes from.
const SOURCE: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// Everything that is wrong with the manifests and lock files among `files`.
pub(crate) fn violations(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        if file.path.ends_with("Cargo.lock") {
            found.extend(foreign_packages(file));
        } else if file.path.ends_with("Cargo.toml") && file.path != "Cargo.toml" {
            found.extend(dependencies(file));
            if !file.text.contains("\n[lints]\nworkspace = true\n") {
                found.push(format!("{}:1: a crate has `[lints] workspace = true`", file.path));
            }
        }
    }
    found
}

fn foreign_packages(file: &Source) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    let foreign = lines.filter(|(_, line)| line.starts_with("source = ") && *line != SOURCE);
    foreign.map(|(index, line)| format!("{}:{}: {line}: not from crates.io", file.path, index + 1)).collect()
}

fn dependencies(file: &Source) -> Vec<String> {
    let Some(name) = file.path.strip_prefix("crates/").and_then(|path| path.split('/').next()) else {
        return Vec::new();
    };
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{}:1: say in ALLOWED on whom `{name}` may depend", file.path)];
    };
    let mut found = Vec::new();
    let mut section = "";
    for (index, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            // `[dependencies.NAME]` is another way to write the same.
            if let Some((_, dependency)) = section.rsplit_once("dependencies.") {
                found.extend(refused(file, index, allowed, dependency, section));
            }
        } else if section.ends_with("dependencies")
            && let Some(dependency) = line.split(['=', '.', ' ']).next()
        {
            found.extend(refused(file, index, allowed, dependency, section));
        }
    }
    found
}

fn refused(file: &Source, index: usize, allowed: &[&str], dependency: &str, section: &str) -> Option<String> {
    let is_ours = dependency == "irp" || dependency.starts_with("irp-");
    let is_for_tests = section.starts_with("dev-") && dependency == "irp-testkit";
    (is_ours && !is_for_tests && !allowed.contains(&dependency))
        .then(|| format!("{}:{}: must not depend on `{dependency}` ({section})", file.path, index + 1))
}

#[test]
fn each_way_to_depend_on_the_wrong_crate_is_seen() {
    let lints = "[lints]\nworkspace = true\n";
    let of = |path: &str, text: &str| {
        violations(&[Source { path: path.into(), text: format!("[package]\n{lints}{text}") }])
    };
    for text in [
        "[dependencies]\nirp-client = { workspace = true }\n",
        "[dependencies]\nirp-client.workspace = true\n",
        "[dev-dependencies]\nirp-client = { path = \"../irp-client\" }\n",
        "[target.'cfg(unix)'.dependencies]\nirp-client = { workspace = true }\n",
        "[dependencies.irp-client]\nworkspace = true\n",
        "[dependencies]\nirp-testkit = { workspace = true }\n",
    ] {
        assert_eq!(of("crates/irp-edge/Cargo.toml", text).len(), 1, "{text}");
    }
    assert_eq!(
        of("crates/irp-edge/Cargo.toml", "[dev-dependencies]\nirp-testkit.workspace = true\n"),
        [""; 0]
    );
    assert_eq!(of("crates/irp-wire/Cargo.toml", "[dependencies]\nirp = { path = \"../irp\" }\n").len(), 1);
    assert_eq!(of("crates/irp-new/Cargo.toml", "").len(), 1);
    assert_eq!(
        violations(&[Source { path: "xtask/Cargo.toml".into(), text: "[package]\n".into() }]).len(),
        1
    );
    let lock = "[[package]]\nsource = \"registry+https://example.org/index\"\n";
    assert_eq!(violations(&[Source { path: "Cargo.lock".into(), text: lock.into() }]).len(), 1);
}
