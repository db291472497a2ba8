//! What `connect` is told, and what `up` shares with it: where to forward.

use std::{ffi::OsString, fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use clap::Args;
use irp_client::{HostHeader, Upstream};
use irp_wire::name::{Hostname, NameError};

use super::{
    aws::Access,
    ways::{Ssh, Via},
};

/// Connect to an edge and forward its traffic to a program on this PC
#[derive(Args, Debug)]
#[command(long_about = "\
Connect to an edge and forward its traffic to a program on this PC.

HOST is the public name: its edge is dialled, and the name is claimed for your key. A label without a dot, a name in \
the zone of your settings (HOSTED_ZONE_DOMAIN), and any name with --via, is a machine in your AWS account: it is \
found by its tag, dialled at its own address, and where its port is closed to you, reached through AWS Session \
Manager. When the network was away or the PC slept, irp connects again by itself. When the same key connects from elsewhere, it takes the \
name over, and this irp ends with exit code 7.

A program behind `--` is started with its public URL in PUBLIC_URL. Once it listens at UPSTREAM, it is \
connected; when it ends, irp ends with its exit code, and when irp ends, it is ended too.

Ctrl-C once lets requests under way finish, twice quits at once.")]
#[command(after_long_help = "\
Examples:
  irp connect alice.proxy.example.com 3000
  irp connect alice 3000                        a machine in your AWS account
  irp connect alice 3000 --via ssm              no port of it needs to be open
  irp connect alice 3000 --via eic --direct     ssh, with a key for a minute
  irp connect alice.proxy.example.com 3000 -- node app.js
  irp connect alice.proxy.example.com https://localhost:8080 --upstream-insecure
  irp connect alice.proxy.example.com 5173 --host-header rewrite    for strict dev servers
  irp connect alice.proxy.example.com 3000 --verify slack --verify github=/hooks/github --open /health
  HTTPS_PROXY=http://proxy:3128 irp connect alice.proxy.example.com 3000")]
pub(crate) struct Connect {
    /// The public name, with the edge's port if that is not 443
    #[arg(value_name = "HOST[:PORT]")]
    pub(crate) edge: EdgeAddress,
    /// Where requests go: 3000, localhost:3000, http://…, https://…, h2c://… or unix:/PATH
    pub(crate) upstream: Upstream,
    /// How to reach a machine in AWS [default: auto]
    #[arg(long, value_enum, value_name = "WAY", hide_possible_values = true)]
    #[arg(
        help = "How to reach a machine in AWS: tls (its public port), ssm (Session Manager), ssh or eic (the system's ssh, with your key or one that EC2 Instance Connect pushes) [default: auto: tls, then ssm; with Caddy eic, then ssh]"
    )]
    pub(crate) via: Option<Via>,
    /// Claim this name instead of HOST; may be repeated
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) names: Vec<Hostname>,
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
    #[command(flatten)]
    pub(crate) webhooks: Webhooks,
    #[command(flatten)]
    pub(crate) forward: Forward,
    #[command(flatten)]
    pub(crate) ssh: Ssh,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// What the edge does with requests before they come through the tunnel.
#[derive(Args, Debug)]
#[command(next_help_heading = "Webhooks")]
pub(crate) struct Webhooks {
    /// Let in only what this provider has signed, and answer its handshakes; may be repeated
    #[arg(long, value_name = "PROVIDER[=PATH]")]
    #[arg(
        help = "Let in only what this provider has signed, and answer its handshakes: slack, github, stripe, line and others, or a [[webhook]] of irp.toml; the secret is in the environment or in .env (SLACK_SIGNING_SECRET, …); other paths are closed then; may be repeated"
    )]
    pub(crate) verify: Vec<String>,
    /// The path that the provider calls, with all below it [default: /slack for Slack, / for others]
    #[arg(long, value_name = "PATH", requires = "verify")]
    pub(crate) path: Option<String>,
    /// Leave this path open to everybody, with all below it; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) open: Vec<String>,
    /// Let everything pass, and only tell what the provider did not sign
    #[arg(long)]
    pub(crate) report_only: bool,
    /// Leave the provider's handshakes to the program behind the tunnel
    #[arg(long)]
    pub(crate) pass_handshakes: bool,
    /// Keep no events on the edge while this PC is away or the program does not answer
    #[arg(long)]
    pub(crate) no_inbox: bool,
    /// Verify nothing, though SLACK_SIGNING_SECRET is set: alone it means --verify slack
    #[arg(long, conflicts_with_all = ["verify", "open", "report_only", "pass_handshakes", "no_inbox"])]
    pub(crate) no_verify: bool,
}

impl Webhooks {
    /// A flag that asks for verification, if one was typed.
    pub(crate) fn typed(&self) -> Option<&'static str> {
        if self.verify.is_empty() { self.beside_verify() } else { Some("--verify") }
    }

    /// A flag that means nothing where nothing is verified, if one was typed.
    pub(crate) fn beside_verify(&self) -> Option<&'static str> {
        let typed = [
            (!self.open.is_empty(), "--open"),
            (self.report_only, "--report-only"),
            (self.pass_handshakes, "--pass-handshakes"),
            (self.no_inbox, "--no-inbox"),
        ];
        typed.into_iter().find(|(is_typed, _)| *is_typed).map(|(_, flag)| flag)
    }
}

/// How requests are forwarded.
#[derive(Args, Debug)]
#[command(next_help_heading = "Forwarding")]
pub(crate) struct Forward {
    /// The Host that the upstream sees: preserve, rewrite (the upstream's own) or a name [default: preserve]
    #[arg(long, value_name = "WHICH")]
    pub(crate) host_header: Option<HostHeader>,
    /// Do not check the certificate of an https:// upstream
    #[arg(long, conflicts_with = "upstream_ca")]
    pub(crate) upstream_insecure: bool,
    /// Trust these authorities (PEM) for an https:// upstream
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// The most lanes to hold open, TLS connections beside the first; 0 is HTTP/2 only [default: 32]
    #[arg(long, value_name = "N")]
    pub(crate) lanes: Option<u16>,
    /// Start this program, wait until it listens, and end together with it; it finds its URL in PUBLIC_URL
    #[arg(last = true, value_name = "COMMAND", help_heading = None::<&str>)]
    pub(crate) program: Vec<OsString>,
}

/// The port of an edge that is named without one.
const EDGE_PORT: u16 = 443;

/// Where an edge is: its public name, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EdgeAddress {
    /// The name.
    pub(crate) host: Hostname,
    /// The port.
    pub(crate) port: u16,
}

/// Why a text does not say where an edge is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EdgeAddressError {
    /// The part before the colon.
    #[error("it is no host name: {0}")]
    Host(#[from] NameError),
    /// The part behind it.
    #[error("`{0}` is no port: a port is a number from 1 to 65535")]
    Port(String),
}

impl FromStr for EdgeAddress {
    type Err = EdgeAddressError;

    fn from_str(text: &str) -> Result<Self, EdgeAddressError> {
        // People paste the URL that they were shown.
        let text = text.strip_prefix("https://").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = match text.rsplit_once(':') {
            None => (text, EDGE_PORT),
            Some((host, port)) => {
                let number = port.parse().ok().filter(|number| *number > 0);
                (host, number.ok_or_else(|| EdgeAddressError::Port(port.to_owned()))?)
            }
        };
        Ok(Self { host: host.parse()?, port })
    }
}

impl fmt::Display for EdgeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port == EDGE_PORT { self.host.fmt(f) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_a_name_and_perhaps_a_port() {
        let told = |text: &str| text.parse::<EdgeAddress>().map(|edge| edge.to_string());
        assert_eq!(told("Alice.example.com"), Ok("alice.example.com".into()));
        assert_eq!(told("alice.example.com:8443"), Ok("alice.example.com:8443".into()));
        assert_eq!(told("https://alice.example.com/"), Ok("alice.example.com".into()));
        assert_eq!(told("alice.example.com:x"), Err(EdgeAddressError::Port("x".into())));
        assert_eq!(told("alice.example.com:0"), Err(EdgeAddressError::Port("0".into())));
        assert_eq!(told("192.0.2.7"), Err(EdgeAddressError::Host(NameError::Address)));
    }
}
