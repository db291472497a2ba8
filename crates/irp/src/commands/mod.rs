//! One file for each command.

mod ca;
mod completions;
mod config;
mod connect;
mod disconnect;
mod doctor;
mod down;
mod edge;
mod enrolment;
mod forget;
mod gc;
mod generate;
mod inbox;
mod keygen;
mod logs;
mod ls;
mod pages;
mod program;
mod secret;
mod setup;
mod shell;
mod sign;
mod ssh_proxy;
mod status;
mod tunnel;
mod up;

use std::process::ExitCode;

pub(crate) use self::completions::complete;
use crate::{
    cli::Command,
    environment::Environment,
    error::{Failure, Kind},
    log,
    ui::Ui,
};

/// Runs what was typed.
///
/// # Errors
///
/// What went wrong, for the person.
pub(crate) fn run(command: Command, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(flags) => {
            start_log(environment, ui)?;
            block_on(up::run(*flags, environment, ui))
        }
        Command::Connect(flags) => {
            start_log(environment, ui)?;
            block_on(connect::run(*flags, environment, ui))
        }
        Command::Ssh(flags) => {
            start_log(environment, ui)?;
            block_on(shell::run(&flags, environment, ui))
        }
        Command::Logs(flags) => {
            start_log(environment, ui)?;
            block_on(logs::run(&flags, environment, ui))
        }
        Command::SshProxy(flags) => {
            start_log(environment, ui)?;
            block_on(ssh_proxy::run(&flags, environment, ui))
        }
        Command::Config(flags) => config::run(&flags, environment, ui),
        Command::Disconnect(flags) => {
            start_log(environment, ui)?;
            block_on(disconnect::run(&flags, environment, ui))
        }
        Command::Generate(flags) => {
            start_log(environment, ui)?;
            block_on(generate::run(&flags, environment, ui))
        }
        Command::Setup(flags) => {
            start_log(environment, ui)?;
            block_on(setup::run(&flags, environment, ui))
        }
        Command::Ls(flags) => {
            start_log(environment, ui)?;
            block_on(ls::run(&flags, environment, ui))
        }
        Command::Status(flags) => {
            start_log(environment, ui)?;
            block_on(status::run(&flags, environment, ui))
        }
        Command::Down(flags) => {
            start_log(environment, ui)?;
            block_on(down::run(&flags, environment, ui))
        }
        Command::Gc(flags) => {
            start_log(environment, ui)?;
            block_on(gc::run(&flags, environment, ui))
        }
        Command::Doctor(flags) => {
            start_log(environment, ui)?;
            block_on(doctor::run(&flags, environment, ui))
        }
        Command::Secret(flags) => {
            start_log(environment, ui)?;
            block_on(secret::run(&flags, environment, ui))
        }
        Command::Forget(flags) => {
            start_log(environment, ui)?;
            block_on(forget::run(&flags, environment, ui))
        }
        Command::Inbox(flags) => {
            start_log(environment, ui)?;
            block_on(inbox::run(flags, environment, ui))
        }
        Command::Edge(flags) => block_on(edge::run(flags, environment, ui)),
        Command::Sign(flags) => {
            start_log(environment, ui)?;
            block_on(sign::run(flags, environment, ui))
        }
        Command::Keygen(flags) => keygen::run(&flags, environment, ui),
        Command::Ca(flags) => ca::run(flags.what, environment, ui),
        Command::Completions(flags) => completions::run(&flags, ui),
        Command::Pages(flags) => pages::run(&flags, ui),
    }
}

/// Starts the log of a command that shows what it does on the screen: only faults, unless asked for more.
fn start_log(environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let (filter, named) = match &environment.log {
        Some(filter) => (filter.as_str(), "IRP_LOG"),
        None => (ui.verbosity().unwrap_or("error"), "-v"),
    };
    log::start(ui, filter, log::Format::Text, named)
}

/// Runs a command that waits for others. It stays on this thread, where it may wait for the terminal as well,
/// while the traffic runs on other threads.
fn block_on(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Kind::Internal, "cannot start the runtime").because(&error))?;
    let result = runtime.block_on(command);
    // What is left is not worth waiting for: all owners of tasks have waited for theirs.
    runtime.shutdown_background();
    result
}
