//! `irp ssh`, `irp logs`, `irp config ssh`, and what ssh itself runs, as they are typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    aws::Access,
    ways::{self, Via},
};

/// Open a shell on the machine, or run a command there
#[derive(Args, Debug)]
#[command(long_about = "\
Open a shell on the machine, or run a command there, and end with its exit code.

No port has to be open, and no key to be on the machine: the system's ssh goes through AWS Session Manager, with a \
fresh key that EC2 Instance Connect lets in for a minute. Who answers must have a host key that the machine reported \
to AWS on its console.")]
#[command(after_long_help = "\
Examples:
  irp ssh                            the machine of your settings
  irp ssh alice
  irp ssh alice -- df -h /
  irp ssh alice --direct             dial port 22, where your security group opens it
  irp ssh alice --via ssh            with your own key")]
pub(crate) struct Shell {
    /// The public name, or its first label [default: that of your settings]
    pub(crate) name: Option<String>,
    /// What to run there [default: a shell]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Show the journal of the machine
#[derive(Args, Debug)]
#[command(long_about = "\
Show the journal of the machine: of its boot, and of the edge or of Caddy; where that did not come up, also the end of \
what cloud-init said.

The way is that of `irp ssh`. A machine that lets nobody in yet still tells something on its console: --console.")]
#[command(after_long_help = "\
Examples:
  irp logs alice
  irp logs alice -f
  irp logs alice --console           what AWS has of its console, without a login")]
pub(crate) struct Logs {
    /// The public name, or its first label [default: that of your settings]
    pub(crate) name: Option<String>,
    /// Go on showing what comes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// So many lines of before
    #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
    pub(crate) lines: u32,
    /// Show what AWS has of the machine's console, without logging in
    #[arg(long, conflicts_with_all = ["follow", "lines"])]
    pub(crate) console: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Which machine, and how it is logged in to.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// Which key opens its sshd: eic (a fresh one, pushed by EC2 Instance Connect) or ssh (your own)
    #[arg(long, value_enum, value_name = "WAY", default_value = "eic", hide_possible_values = true)]
    pub(crate) via: Login,
    #[command(flatten)]
    pub(crate) ssh: ways::Ssh,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// Which key opens an sshd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Login {
    /// A fresh one
    Eic,
    /// One's own
    Ssh,
}

impl From<Login> for Via {
    fn from(login: Login) -> Self {
        match login {
            Login::Eic => Self::Eic,
            Login::Ssh => Self::Ssh,
        }
    }
}

/// Print settings of other programs
#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) what: ConfigCommand,
}

/// Of which program.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    Ssh(Box<ConfigSsh>),
}

/// Print the block of ~/.ssh/config with which plain ssh reaches machines through Session Manager
#[derive(Args, Debug)]
#[command(long_about = "\
Print the block of ~/.ssh/config with which plain ssh, and scp, rsync or an editor, reach your machines through AWS \
Session Manager: by instance id, and by public name in the zone of your settings.

No port has to be open, and no key to be on the machine. Host keys are those that the machine reported to AWS.")]
#[command(after_long_help = "\
Examples:
  irp config ssh >> ~/.ssh/config
  ssh i-0abc12345de67890f
  ssh admin@alice.proxy.example.com              Debian's account
  ssh -N -R 3000:localhost:3000 i-0abc12345de67890f")]
pub(crate) struct ConfigSsh {
    /// The account of the machines, where none is typed: ec2-user, admin or ubuntu
    #[arg(long, value_name = "USER", default_value = "ec2-user")]
    pub(crate) os_user: String,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// Carry the bytes of an ssh to a machine's sshd through Session Manager: a ProxyCommand
#[derive(Args, Debug)]
pub(crate) struct SshProxy {
    /// The machine: i-… or a public name
    pub(crate) host: String,
    /// The port of its sshd
    pub(crate) port: u16,
    /// A session that was started already: its file, which is removed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["push_key", "known_hosts"])]
    pub(crate) session: Option<PathBuf>,
    /// Have EC2 Instance Connect let in the public half of this key
    #[arg(long, value_name = "FILE", requires = "os_user")]
    pub(crate) push_key: Option<PathBuf>,
    /// For this account
    #[arg(long, value_name = "USER")]
    pub(crate) os_user: Option<String>,
    /// Note in this file what the machine reported as its host keys
    #[arg(long, value_name = "FILE")]
    pub(crate) known_hosts: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) access: Access,
}
