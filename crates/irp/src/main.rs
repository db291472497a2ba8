//! `irp`: a public HTTPS URL for a program on your PC.
//!
//! `main` only composes: it reads the environment, parses what was typed, prepares the terminal, runs one
//! command of [`commands`], and turns a failure into its exit code.

mod advice;
mod authority;
mod background;
mod cli;
mod clock;
mod cloud;
mod commands;
mod config;
mod dns_hook;
mod echo;
mod environment;
mod error;
mod exit_status;
mod identity;
mod log;
mod machine;
mod release;
mod signals;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{cli::Cli, environment::Environment, ui::Ui};

fn main() -> ExitCode {
    // First of all, since the local time zone can only be asked while there is one thread.
    let zone = clock::Zone::of_this_machine();
    let environment = Environment::read();
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = commands::complete(&environment, &arguments) {
        return code;
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(usage) => return Ui::for_usage(&environment, &arguments).usage(&usage),
    };
    let ui = Ui::new(&cli.output, &environment, zone);
    match commands::run(cli.command, &environment, &ui) {
        Ok(code) => code,
        Err(failure) => {
            ui.failure(&failure);
            failure.kind().exit_code()
        }
    }
}
