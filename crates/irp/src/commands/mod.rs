//! One file for each command.

mod ca;
mod completions;
mod edge;

use std::process::ExitCode;

use crate::{cli::Command, environment::Environment, error::Failure, ui::Ui};

/// Runs what was typed.
///
/// # Errors
///
/// What went wrong, for the person.
pub(crate) fn run(command: Command, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    match command {
        Command::Edge(flags) => edge::run(&flags, environment, ui),
        Command::Ca(flags) => ca::run(flags.what, environment, ui),
        Command::Completions(flags) => completions::run(&flags, ui),
    }
}
