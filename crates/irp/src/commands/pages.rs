//! `irp pages`: the help in the forms that packages and the web want. Hidden, since no user needs it.

use std::{fs, path::Path, process::ExitCode};

use clap::CommandFactory as _;

use crate::{
    cli::{Cli, Pages},
    error::{Failure, Kind},
    ui::Ui,
};

/// How wide the text is, in columns.
const WIDTH: usize = 100;

/// Writes man pages, or prints Markdown.
pub(super) fn run(flags: &Pages, ui: &Ui) -> Result<ExitCode, Failure> {
    match &flags.folder {
        Some(folder) => write(folder)?,
        None => ui.document(markdown().as_bytes()),
    }
    Ok(ExitCode::SUCCESS)
}

/// One man page for each command, `irp.1`, `irp-up.1`, …
fn write(folder: &Path) -> Result<(), Failure> {
    let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(whole_command(), folder));
    written.map_err(|error| {
        Failure::new(Kind::Config, format!("cannot write into {}", folder.display())).because(&error)
    })
}

fn whole_command() -> clap::Command {
    // The generated `help` command repeats all others.
    Cli::command().term_width(WIDTH).disable_help_subcommand(true)
}

fn markdown() -> String {
    let mut text =
        "# Commands\n\nMade by `irp pages` from the help of the program; a test compares it.\n".to_owned();
    let mut command = whole_command();
    command.build();
    section(&mut command, &mut text);
    text
}

fn section(command: &mut clap::Command, text: &mut String) {
    if command.is_hide_set() {
        return;
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    text.push_str(&format!(
        "\n## {name}\n\n```text\n{}\n```\n",
        command.render_long_help().to_string().trim_end()
    ));
    for inner in command.get_subcommands_mut() {
        section(inner, text);
    }
}
