//! `irp up` as it is typed.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use irp_client::Upstream;
use irp_launch::values::Image;

use super::{
    aws::Access,
    forward::{Forward, Webhooks},
    launch, setup,
};
use crate::config::{edge_file::Network, values::Span};

/// Give a program on this PC a public HTTPS URL
#[derive(Args, Debug)]
#[command(long_about = "\
Give a program on this PC a public HTTPS URL, through a machine in your AWS account.

It uses the machine of your name that runs, or launches one, waits until its edge answers, connects to it and shows the \
traffic. The machine ends itself when nobody was connected for an hour. `irp setup` prepares the account, once.

With --local the edge runs on this machine, as part of this process, without AWS: it serves \
https://NAME.localhost:PORT with a certificate of this machine's own authority. `irp ca path` tells where that \
authority's certificate is.

Without UPSTREAM a built-in application answers each request with what it got.

A program behind `--` is started with its public URL in PUBLIC_URL, and waited for until it listens at UPSTREAM; when it \
ends, irp ends with its exit code, and when irp ends, it is ended too.

Ctrl-C once lets requests under way finish, twice quits at once. Interrupted or killed at any point, the next irp up \
goes on with the machine that there is.")]
#[command(after_long_help = "\
Examples:
  irp up 3000                       the everyday command
  irp up 3000 -- node app.js        start it, forward to it, and end together with it
  irp up 3000 --dry-run             only show what would be done
  irp up 3000 --host-name shop --spot
  URL=$(irp up 3000 --detach)       stay connected in the background; irp disconnect ends it
  irp up --local                    try it on this machine, with the built-in application
  irp up --local --name shop unix:/run/shop.sock
  SLACK_SIGNING_SECRET=… irp up --local 3000 --verify slack
  curl --cacert \"$(irp ca path)\" https://shop.localhost:8443/")]
pub(crate) struct Up {
    /// Where requests go: 3000, localhost:3000, http://…, https://…, h2c://… or unix:/PATH [default: a built-in application]
    pub(crate) upstream: Option<Upstream>,
    /// Run the edge on this machine, without AWS
    #[arg(long)]
    pub(crate) local: bool,
    /// Stay connected in the background, and return when the URL works; irp disconnect ends it
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) detach: bool,
    /// This is the process that --detach has started
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub(crate) background: bool,
    #[command(flatten)]
    pub(crate) here: Local,
    #[command(flatten)]
    pub(crate) settings: launch::Settings,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) access: Access,
    #[command(flatten)]
    pub(crate) webhooks: Webhooks,
    #[command(flatten)]
    pub(crate) forward: Forward,
}

/// The edge on this machine.
#[derive(Args, Debug)]
#[command(next_help_heading = "With --local")]
pub(crate) struct Local {
    /// The name below localhost [default: your user name]
    #[arg(long, value_name = "NAME", requires = "local")]
    pub(crate) name: Option<String>,
    /// The edge's port on 127.0.0.1 and ::1 [default: 8443, or the next one that is free]
    #[arg(long, value_name = "PORT", requires = "local")]
    pub(crate) port: Option<u16>,
    /// Let only this network in; may be repeated
    #[arg(long, value_name = "CIDR", requires = "local")]
    pub(crate) allow: Vec<Network>,
    /// Let in only who knows the password, which is asked for, or taken from IRP_BASIC_AUTH
    #[arg(long, value_name = "USER[:PASSWORD]", requires = "local")]
    pub(crate) basic_auth: Option<String>,
    /// How long a request waits for the tunnel to come back [default: 5s]
    #[arg(long, value_name = "TIME", requires = "local")]
    pub(crate) hold: Option<Span>,
}

/// The machine in AWS, beyond its settings.
#[derive(Args, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct Machine {
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "local")]
    pub(crate) dry_run: bool,
    /// What it is made from: al2023, debian, ubuntu or ami-… [default: al2023]
    #[arg(long, value_name = "IMAGE", default_value = "al2023", hide_default_value = true)]
    #[arg(conflicts_with_all = ["local", "launch_template"])]
    pub(crate) image: Image,
    /// A launch template for what is not said here, such as that of irp setup
    #[arg(long, value_name = "NAME", conflicts_with = "local")]
    pub(crate) launch_template: Option<String>,
    /// Its network [default: that of --subnet, else the default VPC]
    #[arg(long, value_name = "ID", conflicts_with = "local")]
    pub(crate) vpc: Option<String>,
    /// Where it is [default: a public subnet of the network]
    #[arg(long, value_name = "ID", conflicts_with = "local")]
    pub(crate) subnet: Option<String>,
    /// Pay less for a machine that AWS may take away at two minutes' notice
    #[arg(long, conflicts_with = "local")]
    pub(crate) spot: bool,
    /// Attach this Elastic IP address to it
    #[arg(long, value_name = "ALLOCATION", conflicts_with = "local")]
    pub(crate) eip: Option<String>,
    /// A tag for everything that is made; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = setup::tag, conflicts_with = "local")]
    pub(crate) tags: Vec<(String, String)>,
    /// The program for it, an irp for Linux [default: that of this release, else this very program]
    #[arg(long, value_name = "FILE", conflicts_with = "local")]
    pub(crate) edge_binary: Option<PathBuf>,
    /// Do not keep SLACK_SIGNING_SECRET in the account: the edge has it in memory while you are connected
    #[arg(long, conflicts_with = "local")]
    pub(crate) memory_only: bool,
    /// Do not launch another machine when AWS takes this one away
    #[arg(long, conflicts_with = "local")]
    pub(crate) no_relaunch: bool,
}

/// How the machine's edge is reached.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Dial this address instead of the machine's, for networks with a way of their own
    #[arg(long, value_name = "IP:PORT", conflicts_with = "local")]
    pub(crate) connect_to: Option<SocketAddr>,
    /// Trust these authorities (PEM) for the edge's certificate, beside the system's
    #[arg(long, value_name = "FILE", conflicts_with = "local")]
    pub(crate) cacert: Option<PathBuf>,
    /// The private key (SSH ed25519) [default: that of `irp keygen`, made now if there is none]
    #[arg(long, value_name = "FILE", conflicts_with = "local")]
    pub(crate) key: Option<PathBuf>,
    /// Take the key from the ssh-agent only
    #[arg(long, conflicts_with_all = ["no_agent", "local"])]
    pub(crate) agent: bool,
    /// Do not ask the ssh-agent
    #[arg(long, conflicts_with = "local")]
    pub(crate) no_agent: bool,
}

/// End a client that stays connected in the background
#[derive(Args, Debug)]
#[command(long_about = "\
End a client that `irp up --detach` has left in the background, and wait until requests under way are finished.

The machine stays as it does after Ctrl-C: it ends itself when nobody was connected for the idle time.")]
#[command(after_long_help = "\
Examples:
  irp disconnect alice
  irp disconnect alice.proxy.example.com
  irp disconnect                    where there is only one")]
pub(crate) struct Disconnect {
    /// The public name, or its first label [default: the only one]
    pub(crate) name: Option<String>,
}
