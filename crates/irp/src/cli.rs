//! What can be typed: the commands, their flags, and the help.
//!
//! These types hold what was typed and check only its form; [`config`](crate::config) turns them into what
//! the program runs with.

pub(crate) mod aws;
pub(crate) mod doctor;
pub(crate) mod forward;
pub(crate) mod inbox;
pub(crate) mod launch;
pub(crate) mod machines;
pub(crate) mod secret;
pub(crate) mod setup;
pub(crate) mod shell;
pub(crate) mod up;
pub(crate) mod ways;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use self::{
    forward::Connect,
    up::{Disconnect, Up},
};
use crate::{
    error::EXIT_CODES,
    ui::{AsWanted, Wanted, When},
};

/// Give a program on this PC a public HTTPS URL
#[derive(Debug, Parser)]
#[command(name = "irp", version, max_term_width = 100, after_long_help = EXIT_CODES)]
#[command(long_about = "\
Give a program on this PC a public HTTPS URL, through a machine of your own.

The edge (`irp edge`) faces the Internet; irp on this PC connects to it and forwards what visitors send \
to your program. Nobody else's machine sees the plain text.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Print one JSON object a line on stdout, for programs
    #[arg(long, global = true)]
    json: bool,
    /// When to use colours; NO_COLOR is honoured
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        hide_possible_values = true
    )]
    #[arg(help = "When to use colours: auto, always or never; NO_COLOR is honoured")]
    color: When,
    /// Tell more of what happens inside, twice for still more; IRP_LOG takes a finer filter
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Show no steps and no live lines, only warnings and failures
    #[arg(short, long, global = true)]
    quiet: bool,
}

impl AsWanted for Output {
    fn as_wanted(&self) -> Wanted {
        Wanted { json: self.json, quiet: self.quiet, verbose: self.verbose, colour: self.color }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(Box<Up>),
    Connect(Box<Connect>),
    Disconnect(Disconnect),
    Ssh(Box<shell::Shell>),
    Logs(Box<shell::Logs>),
    Config(shell::Config),
    #[command(hide = true)]
    SshProxy(Box<shell::SshProxy>),
    Generate(Box<launch::Generate>),
    Setup(Box<setup::Setup>),
    Ls(machines::Ls),
    Status(machines::Status),
    Down(machines::Down),
    Gc(machines::Gc),
    Doctor(Box<doctor::Doctor>),
    Secret(secret::Secret),
    Forget(Box<secret::Forget>),
    Edge(Edge),
    Inbox(inbox::Inbox),
    Sign(Sign),
    Keygen(Keygen),
    Ca(Ca),
    Completions(Completions),
    Pages(Pages),
}

/// Run the server that faces the Internet
#[derive(Args, Debug)]
#[command(long_about = "\
Run the server that faces the Internet.

It terminates TLS for the names of its clients and forwards each visitor's request through the tunnel \
of that name. Everything it does is in one configuration file; docs/edge.toml explains each key.

SIGTERM or Ctrl-C once lets requests under way finish, twice quits at once.")]
#[command(after_long_help = "\
Examples:
  irp edge --config /etc/irp/edge.toml
  irp edge --config edge.toml --check     say whether the file is right, and start nothing")]
pub(crate) struct Edge {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Check the configuration file and start nothing
    #[arg(long)]
    pub(crate) check: bool,
}

/// Send a correctly signed test webhook to a URL
#[derive(Args, Debug)]
#[command(long_about = "\
Send a correctly signed test webhook to a URL, and print the answer.

It is the way to try a bot without its provider: PROVIDER is slack, github, stripe, line or another one that \
signs with a shared secret, or a [[webhook]] of irp.toml. The secret is in the environment or in .env, under \
the provider's usual name (SLACK_SIGNING_SECRET, GITHUB_WEBHOOK_SECRET, …) or the one that is given.")]
#[command(after_long_help = "\
Examples:
  irp sign slack --to https://alice.proxy.example.com/slack/events --event app_mention
  irp sign slack --to https://alice.localhost:8443/slack/events --event url_verification
  irp sign slack --to http://localhost:3000/slack/commands --event /deploy
  irp sign github --secret-env HOOK_SECRET --to https://alice.proxy.example.com/git --body push.json")]
pub(crate) struct Sign {
    /// The provider
    pub(crate) provider: String,
    /// Where it goes
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// The environment variable with the secret [default: the provider's usual one]
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) secret_env: Option<String>,
    /// Send this file's content as the body
    #[arg(long, value_name = "FILE", conflicts_with = "event")]
    pub(crate) body: Option<PathBuf>,
    /// Send a sample of this event, in the provider's own words [default: app_mention for Slack]
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// Trust these authorities (PEM) beside the system's [default for localhost: irp's own]
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
}

/// Make a key that proves who you are to an edge
#[derive(Args, Debug)]
#[command(long_about = "\
Make an SSH ed25519 key that proves who you are to an edge, and print its public line.

The public line goes into the edge's configuration, as `public` of a [[key]] table. An ed25519 key that \
`ssh-keygen` made, or that an ssh-agent holds, serves as well.")]
#[command(after_long_help = "\
Examples:
  irp keygen
  irp keygen --output ./work-key
  ssh-keygen -p -f ./work-key       give it a passphrase")]
pub(crate) struct Keygen {
    /// Where the private key goes; the public one goes beside it, with .pub
    #[arg(long, short, value_name = "FILE")]
    #[arg(
        help = "Where the private key goes, the public one beside it with .pub [default: id_ed25519 in irp's configuration folder]"
    )]
    pub(crate) output: Option<PathBuf>,
    /// The comment at the end of the public line [default: your user name]
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// Tell about the certificate authority of this machine
#[derive(Args, Debug)]
#[command(long_about = "\
Tell about the certificate authority of this machine.

`irp up --local` serves certificates that this authority signed. It is made once, its key stays in irp's \
state folder, and it can sign for nothing but localhost. Trust its certificate where you need it.")]
#[command(after_long_help = "\
Examples:
  curl --cacert \"$(irp ca path)\" https://alice.localhost:8443/
  NODE_EXTRA_CA_CERTS=\"$(irp ca path)\" node client.js")]
pub(crate) struct Ca {
    #[command(subcommand)]
    pub(crate) what: CaCommand,
}

/// What to tell.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Print the path of its certificate, PEM, made now if there is none
    Path,
    /// Print the certificate itself, PEM, made now if there is none
    Show,
}

/// Print a completion script for a shell
#[derive(Args, Debug)]
#[command(long_about = "\
Print a completion script for a shell.

It asks irp itself what can be typed, and so proposes the names of edges that this PC has to do with as well: those \
that it was connected to, and for disconnect those of clients in the background. Pressing Tab never asks AWS. After an \
update of irp, print it again.")]
#[command(after_long_help = "\
Examples:
  irp completions bash > ~/.local/share/bash-completion/completions/irp
  irp completions zsh > ~/.zfunc/_irp
  irp completions fish > ~/.config/fish/completions/irp.fish")]
pub(crate) struct Completions {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_enum, hide_possible_values = true)]
    pub(crate) shell: Shell,
}

/// Write the man pages into a folder, or print the reference in Markdown
#[derive(Args, Debug)]
#[command(hide = true)]
pub(crate) struct Pages {
    /// Where the man pages go [default: Markdown on stdout]
    pub(crate) folder: Option<PathBuf>,
}
