//! `irp completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::{
    cli::{Cli, Completions},
    error::Failure,
    ui::Ui,
};

/// Prints the script on stdout.
#[expect(clippy::unnecessary_wraps, reason = "all commands have this shape")]
pub(super) fn run(flags: &Completions, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Cli::command(), "irp", &mut script);
    ui.document(&script);
    Ok(ExitCode::SUCCESS)
}
