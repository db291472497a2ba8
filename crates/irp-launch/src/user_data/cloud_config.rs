//! cloud-config: the files, and how the first of them is started.

use serde::Serialize;

/// What runs at every boot in the network stage.
const START: &str = include_str!("../../machine/both/start.sh");

/// The last file that is written: when it is there, all of them are.
const WRITTEN: &str = "/etc/irp/written";

/// A file on the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// Where.
    pub path: String,
    /// The mode, in octal digits.
    pub permissions: &'static str,
    /// What it holds.
    pub content: String,
}

impl File {
    /// A file that everybody may read.
    pub(super) fn plain(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self { path: path.into(), permissions: "0644", content: content.into() }
    }

    /// A file that everybody may run.
    pub(super) fn program(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self { path: path.into(), permissions: "0755", content: content.into() }
    }
}

#[derive(Serialize)]
struct CloudConfig<'a> {
    bootcmd: [[&'a str; 3]; 1],
    ssh_authorized_keys: [&'a str; 1],
    /// One that every image has: cloud-init fails on its own default where the image cannot make that.
    locale: &'a str,
    write_files: Vec<&'a File>,
    /// The last stage, if the early start went wrong: starting what has started does nothing.
    runcmd: [&'a [&'a str]; 2],
}

/// The whole text. `key` is let in as the image's own user, for `irp ssh`.
pub(super) fn text(files: &[File], key: &str) -> String {
    let written = File::plain(WRITTEN, "");
    let config = CloudConfig {
        bootcmd: [["sh", "-c", START]],
        ssh_authorized_keys: [key],
        locale: "C.UTF-8",
        write_files: files.iter().chain([&written]).collect(),
        runcmd: [&["systemctl", "daemon-reload"], &["systemctl", "start", "--no-block", "irp-boot.service"]],
    };
    // Plain structs of texts always serialise.
    let json = serde_json::to_string_pretty(&config).unwrap_or_default();
    format!("#cloud-config\n{}\n", ascii(&json))
}

/// Every other character as JSON's `\uXXXX`: AWS's CLI reads the text in the locale of whoever runs it.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_content_arrives_as_it_is_and_in_ascii(content in "(?s).{0,40}") {
            let files = [File::plain("/etc/irp/x", content.clone())];
            let text = text(&files, "key");
            prop_assert!(text.is_ascii());
            let config: serde_json::Value = serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap();
            prop_assert_eq!(&config["write_files"][0]["content"], &content);
            prop_assert_eq!(&config["write_files"][1]["path"], WRITTEN);
        }
    }
}
