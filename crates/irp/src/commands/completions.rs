//! `irp completions SHELL`, and what its script asks each time Tab is pressed.
//!
//! The script only asks this program how the line may go on, so it knows the names that are in use. They come from files of
//! this PC: AWS is never asked, since who presses Tab does not want to wait.

use std::{ffi::OsString, process::ExitCode, sync::Arc};

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::{
    Shell,
    engine::{ArgValueCandidates, CompletionCandidate},
    env as scripts,
};
use irp_client::known_edges;

use crate::{
    background::Place,
    cli::{Cli, Completions},
    config,
    environment::{self, COMPLETE, Environment},
    error::{Failure, Kind},
    ui::Ui,
};

/// Where zsh finds the script by the name of its file, it runs it at the first Tab, which has to be answered as well.
const ZSH_FIRST: &str = r#"[ "$funcstack[1]" != _irp ] || _clap_dynamic_completer_irp "$@"
"#;

/// Prints the script on stdout.
pub(super) fn run(flags: &Completions, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    let name = flags.shell.to_string();
    let written = scripts::Shells::builtins()
        .completer(&name)
        .map(|shell| shell.write_registration(COMPLETE, "irp", "irp", "irp", &mut script));
    let Some(Ok(())) = written else {
        return Err(Failure::new(Kind::Internal, format!("there is no script for {name}")));
    };
    if flags.shell == Shell::Zsh {
        script.extend_from_slice(ZSH_FIRST.as_bytes());
    }
    ui.document(&script);
    Ok(ExitCode::SUCCESS)
}

/// Tells the script how the line may go on, if it is the script that calls; what was typed so far stands behind `--`.
pub(crate) fn complete(environment: &Environment, arguments: &[OsString]) -> Option<ExitCode> {
    let shell = environment.complete.as_deref()?;
    let typed = arguments.iter().position(|argument| argument == "--")? + 1;
    let folder = environment::current_folder();
    let mut command = with_names(Cli::command(), &Arc::new(Names::read(environment)));
    command.build();
    let mut told = Vec::new();
    // A message would land in the person's line.
    let written = scripts::Shells::builtins().completer(shell)?.write_complete(
        &mut command,
        arguments[typed..].to_vec(),
        folder.as_deref(),
        &mut told,
    );
    if written.is_err() {
        return Some(ExitCode::FAILURE);
    }
    Ui::for_usage(environment, &[]).document(&told);
    Some(ExitCode::SUCCESS)
}

/// The names of edges that this PC has to do with.
struct Names {
    /// A client in the background holds them.
    connected: Vec<String>,
    /// They were connected to once; with a port where that is not 443.
    known: Vec<String>,
}

impl Names {
    /// Nothing, where there are no files: completing is a convenience.
    fn read(environment: &Environment) -> Self {
        let places = Place::all(environment).unwrap_or_default();
        let file = config::client::known_edges(environment).ok();
        let known = file.and_then(|file| known_edges::names(&file).ok()).unwrap_or_default();
        Self { connected: places.into_iter().map(|(_, report)| report.name).collect(), known }
    }

    fn candidates(&self, wanted: Wanted) -> Vec<CompletionCandidate> {
        let connected = self.connected.iter().map(|name| (name, "connected in the background"));
        let known = self.known.iter().map(|name| (name, "known")).filter(|(name, _)| match wanted {
            Wanted::Connected => false,
            Wanted::Name => !name.contains(':'),
            Wanted::Address => true,
        });
        let known = known.filter(|(name, _)| !self.connected.contains(name));
        let all = connected.chain(known);
        all.map(|(name, about)| CompletionCandidate::new(name).help(Some(about.into()))).collect()
    }
}

/// Which names an argument takes.
#[derive(Clone, Copy)]
enum Wanted {
    /// Those of clients in the background.
    Connected,
    /// All without a port.
    Name,
    /// All.
    Address,
}

/// Lets each argument that is the name of an edge propose those.
fn with_names(command: Command, names: &Arc<Names>) -> Command {
    let of_clients = command.get_name() == "disconnect";
    let command = command.mut_args(|argument| match wanted(&argument) {
        Some(wanted) => {
            let wanted = if of_clients { Wanted::Connected } else { wanted };
            let names = Arc::clone(names);
            argument.add(ArgValueCandidates::new(move || names.candidates(wanted)))
        }
        None => argument,
    });
    command.mut_subcommands(|inner| with_names(inner, names))
}

fn wanted(argument: &Arg) -> Option<Wanted> {
    if !argument.is_positional() || !["name", "edge"].contains(&argument.get_id().as_str()) {
        return None;
    }
    let shown = argument.get_value_names().unwrap_or_default();
    let with_port = shown.iter().any(|shown| shown.contains("PORT"));
    Some(if with_port { Wanted::Address } else { Wanted::Name })
}
