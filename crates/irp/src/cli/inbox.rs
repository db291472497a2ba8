//! `irp inbox` as it is typed.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};

use super::forward::EdgeAddress;

/// See events that the edge keeps, and say what becomes of them
#[derive(Args, Debug)]
#[command(long_about = "\
See the events that an edge keeps for your name, and say what becomes of them.

While nobody is there to take a verified event, the edge keeps it and delivers it later. An event that your program \
answered with an error eight times is moved aside: it waits for you. These commands ask the edge, for which you need the \
key that may claim the name; a tunnel that is up stays as it is.")]
pub(crate) struct Inbox {
    #[command(subcommand)]
    pub(crate) command: InboxCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum InboxCommand {
    /// List the events that are kept, the oldest first
    Ls {
        #[command(flatten)]
        edge: Edge,
    },
    /// Print one event: its headers on stderr, its body on stdout
    Show {
        #[command(flatten)]
        edge: Edge,
        /// Its number, as `ls` shows it
        number: u64,
    },
    /// Try events again that were moved aside
    Deliver {
        #[command(flatten)]
        edge: Edge,
        /// Their numbers [default: all that were moved aside]
        numbers: Vec<u64>,
    },
    /// Forget events undelivered
    Drop {
        #[command(flatten)]
        edge: Edge,
        /// Their numbers
        #[arg(required_unless_present = "all")]
        numbers: Vec<u64>,
        /// All events of the name
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
    },
}

/// Which edge, and who asks.
#[derive(Args, Debug)]
pub(crate) struct Edge {
    /// The public name, with the edge's port if that is not 443 (8443 below localhost)
    #[arg(value_name = "HOST[:PORT]")]
    pub(crate) name: String,
    /// Dial this address instead of what HOST resolves to
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) connect_to: Option<SocketAddr>,
    /// Trust these authorities (PEM) for the edge's certificate, beside the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// The private key (SSH ed25519) [default: that of `irp keygen`, else ~/.ssh/id_ed25519]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Take the key from the ssh-agent only
    #[arg(long, conflicts_with = "no_agent")]
    pub(crate) agent: bool,
    /// Do not ask the ssh-agent
    #[arg(long)]
    pub(crate) no_agent: bool,
}

impl Edge {
    /// Where the edge is; names below `localhost` are those of `irp up --local`.
    pub(crate) fn address(&self) -> Result<EdgeAddress, super::forward::EdgeAddressError> {
        let address: EdgeAddress = self.name.parse()?;
        let has_port = self.name.trim_start_matches("https://").contains(':');
        let port = if is_local(&address) && !has_port { LOCAL_PORT } else { address.port };
        Ok(EdgeAddress { port, ..address })
    }
}

/// The port of `irp up --local`.
pub(crate) const LOCAL_PORT: u16 = 8443;

/// Whether it is an edge of this machine.
pub(crate) fn is_local(address: &EdgeAddress) -> bool {
    address.host.as_str().ends_with(".localhost")
}
