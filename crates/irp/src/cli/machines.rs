//! `irp ls`, `status`, `down` and `gc` as they are typed.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{
    aws::Access,
    launch::{Named, ZoneOf},
};

/// How edges are asked how they are.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Edge")]
pub(crate) struct Asking {
    /// Do not ask the edge itself, only AWS
    #[arg(long)]
    pub(crate) no_edge: bool,
    /// The private key (SSH ed25519) as which it is asked [default: that of `irp keygen`, else ~/.ssh/id_ed25519]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Trust these authorities (PEM) for its certificate, beside the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
}

/// List your machines
#[derive(Args, Debug)]
#[command(long_about = "\
List the machines that irp launched in this region of the account: URL, state, address, age, who is connected, when \
they end themselves, and what they cost.

Tunnels and the idle clock are told by the edges themselves, to a key that may connect to them. That claims nothing, and \
keeps no machine alive.

Costs are estimates from list prices of US East, with their date: other regions differ by some tens of percent.")]
#[command(after_long_help = "\
Examples:
  irp ls
  irp ls --all               also those that are gone for less than an hour
  irp ls --json | jq -r .url")]
pub(crate) struct Ls {
    /// Also show machines that are gone, which AWS remembers for an hour
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// Tell how a machine is
#[derive(Args, Debug)]
#[command(long_about = "\
Tell how the machine of a name is: URL, state, address, record, age, who is connected, when it ends itself, what it \
costs, and what does not work there at the moment.

Tunnels, idle clock and troubles are told by the edge itself, to a key that may connect to it. That claims nothing, and \
does not keep the machine alive.

A name that has no machine is no failure: it says so, and why the last one ended, as long as AWS remembers.")]
#[command(after_long_help = "\
Examples:
  irp status
  irp status alice
  irp status alice.proxy.example.com --json | jq -r .state")]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) named: Named,
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// Ask the edge at this address instead of the machine's
    #[arg(long, value_name = "IP:PORT", help_heading = "Edge")]
    pub(crate) connect_to: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// End the machine of a name now
#[derive(Args, Debug)]
#[command(long_about = "\
End the machine of a name now: it is terminated, and its DNS record goes with it, unless that points elsewhere by now.

Where events wait for a tunnel, it tells how many, and asks first: they are lost, unless the account has the bucket of \
`irp setup`, in which they wait for the next machine of the name.

It may be typed on any PC, and again: what an interrupted `irp down` has left is found and done. The certificate \
stays in the account for the next launch; `irp forget` deletes it.")]
#[command(after_long_help = "\
Examples:
  irp down
  irp down alice
  irp down alice.proxy.example.com --json")]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) named: Named,
    /// Do not ask, also where events wait
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// Ask the edge at this address instead of the machine's
    #[arg(long, value_name = "IP:PORT", help_heading = "Edge")]
    pub(crate) connect_to: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// Find what was left behind, and remove it after asking
#[derive(Args, Debug)]
#[command(long_about = "\
Find what was left behind in this region, and remove it after asking: records whose machine is gone, machines that are \
stopped, that have outlived their maximum, or that share a name with an older one, a security group that nobody uses, \
programs in the bucket that should have expired.

It looks only at what carries irp's tags, and at records of names that do. What each costs is an estimate. A machine of \
the same name in another region or account looks as if it were gone: read the list before you say yes.")]
#[command(after_long_help = "\
Examples:
  irp gc
  irp gc --yes
  irp gc --json | jq -r 'select(.event == \"leftover\") | .why'")]
pub(crate) struct Gc {
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) zone: ZoneOf,
    #[command(flatten)]
    pub(crate) access: Access,
}
