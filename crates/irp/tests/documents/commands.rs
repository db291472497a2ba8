//! Commands of irp that the documents show, tried with the program itself.

use std::{
    collections::HashMap,
    process::{Command, Output},
    sync::{LazyLock, Mutex},
};

use crate::{
    pages::{Page, code_spans},
    shell,
};

/// Commands in code blocks that the program would not take, with the place and what it says. Each is tried with `--help`
/// at its end, so that nothing is done, while what stands before is parsed all the same.
pub(crate) fn misspelt_in_blocks(page: &Page) -> Vec<String> {
    let mut wrong = Vec::new();
    for block in page.blocks().filter(|block| ["sh", "bash", "console"].contains(&block.language.as_str())) {
        for command in shell::commands(&block.text) {
            let Some(arguments) = shell::arguments_of_irp(&command) else { continue };
            let (ours, _) = arguments
                .split_at(arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len()));
            let output = irp(&[ours, &["--help".to_owned()]].concat());
            if !output.status.success() {
                let why =
                    String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
                wrong.push(format!("{}:{}: irp {}: {why}", page.name, block.line, ours.join(" ")));
            }
        }
    }
    wrong
}

/// Commands within sentences, which may be cut short or name alternatives: that the command and its flags exist is all.
pub(crate) fn misspelt_in_sentences(page: &Page) -> Vec<String> {
    let mut wrong = Vec::new();
    for (line, text) in page.sentences() {
        for span in code_spans(text).0 {
            for command in shell::commands(span) {
                let Some(arguments) = shell::arguments_of_irp(&command) else { continue };
                wrong
                    .extend(misspelt(&arguments).map(|why| format!("{}:{line}: `{span}`: {why}", page.name)));
            }
        }
    }
    wrong
}

fn misspelt(arguments: &[String]) -> Option<String> {
    let is_word = |text: &&String| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let words: Vec<&str> = arguments
        .iter()
        .take_while(|text| is_word(text) && !text.starts_with('-'))
        .map(String::as_str)
        .collect();
    let first = words.first()?;
    let Some(mut help) = help(&[first]) else { return Some(format!("there is no command {first}")) };
    if let Some(more) = words.get(1).filter(|_| help.contains("\nCommands:\n")) {
        help = match self::help(&[first, more]) {
            Some(help) => help,
            None => return Some(format!("there is no command {first} {more}")),
        };
    }
    let ours = arguments.iter().take_while(|argument| *argument != "--");
    let flags = ours.filter(|argument| argument.starts_with("--"));
    let names = flags.map(|flag| flag.split('=').next().unwrap_or_default());
    let mut missing = names.filter(|name| !has_flag(&help, name));
    missing.next().map(|flag| format!("there is no {flag}"))
}

fn has_flag(help: &str, flag: &str) -> bool {
    help.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').any(|word| word == flag)
}

/// The help of a command, if there is such a command.
fn help(words: &[&str]) -> Option<String> {
    static HELP: LazyLock<Mutex<HashMap<String, Option<String>>>> = LazyLock::new(Mutex::default);
    let mut all = HELP.lock().unwrap();
    let asked = || {
        let arguments: Vec<String> = words.iter().copied().chain(["--help"]).map(str::to_owned).collect();
        let output = irp(&arguments);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    all.entry(words.join(" ")).or_insert_with(asked).clone()
}

fn irp(arguments: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_irp"));
    command.args(arguments).env_clear().env("HOME", "/nonexistent").env("USER", "alice").output().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_seen() {
        let misspelt = |text: &str| misspelt(&shell::arguments_of_irp(&shell::commands(text)[0]).unwrap());
        assert_eq!(misspelt("irp ca path"), None);
        assert_eq!(misspelt("irp setup --print policy"), None);
        assert_eq!(misspelt("irp setup --frobnicate"), Some("there is no --frobnicate".into()));
        assert_eq!(misspelt("irp frobnicate"), Some("there is no command frobnicate".into()));
        assert_eq!(misspelt("irp secret frobnicate"), Some("there is no command secret frobnicate".into()));
        assert_eq!(misspelt("irp up 3000 -- node --inspect app.js"), None, "that is node's");
    }
}
