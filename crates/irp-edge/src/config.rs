//! What an edge is to do: values that are already valid, made by the program from flags and `edge.toml`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use irp_wire::name::Hostname;
use tokio_util::sync::CancellationToken;

use crate::{
    certs::{AcmeConfig, HttpTokens, LocalCa, Names, Store},
    enrolment::Enrolment,
    http::{HostKeys, access::Access, limits::Limits, webhook::Policies},
    idle::IdleAfter,
    inbox,
    keys::Keys,
    notices::Notices,
    outside::Outside,
    power::{Power, Presence},
    troubles::Troubles,
    tunnels::native,
};

pub use crate::ssh_way::SshWay;

/// How long requests may go on after the edge was asked to stop.
pub const DRAIN: Duration = Duration::from_secs(20);

/// Everything that an edge needs to know.
#[derive(Debug)]
pub struct EdgeConfig {
    /// Where visitors and clients come in; port 0 takes a free port.
    pub listen: Vec<SocketAddr>,
    /// Where visitors without TLS are redirected from, and http-01 is answered.
    pub http_listen: Vec<SocketAddr>,
    /// Where metrics are shown, to this machine alone.
    pub metrics_listen: Option<SocketAddr>,
    /// The port in URLs, where it is not that of the first listener (behind a port mapping).
    pub public_port: Option<u16>,
    /// Names with rules or aliases of their own.
    pub hosts: Vec<Host>,
    /// Who may claim which names.
    pub keys: Keys,
    /// Where certificates come from.
    pub certificates: CertificateSource,
    /// The folder for what must outlive the process: identity, certificates, accounts.
    pub state: PathBuf,
    /// Limits of the public side.
    pub limits: Limits,
    /// How sessions of our client are run.
    pub sessions: native::Settings,
    /// Tunnels of stock OpenSSH, if they are taken.
    pub ssh: Option<SshWay>,
    /// How webhook events are kept while nobody is there to take them; `None` where none are.
    pub inbox: Option<inbox::Settings>,
    /// After which time without a session the machine ends.
    pub idle_after: IdleAfter,
    /// How the machine ends.
    pub power: Power,
    /// How long requests may go on after the edge was asked to stop; see [`DRAIN`].
    pub drain: Duration,
}

/// What the machine around an edge gives it; the default is a machine that gives nothing.
#[derive(Debug, Default)]
pub struct Machine {
    /// Where identity, certificates and accounts are kept; the folder for state if there is nothing else.
    pub store: Option<Arc<dyn Store>>,
    /// A file that is written at the start and, while sessions are connected, every [`RENEWED_EVERY`]: a timer of the
    /// machine that ends it otherwise watches the file, so that an edge which hangs does not run for ever.
    pub renew: Option<PathBuf>,
    /// How the machine is found, which is taken away before the idle timer powers it off.
    pub presence: Option<Arc<dyn Presence>>,
    /// Who may connect beyond the configured keys.
    pub enrolment: Option<Enrolment>,
    /// The public keys of the machine's sshd.
    pub host_keys: HostKeys,
    /// What everybody is told who is connected.
    pub notices: Notices,
    /// Where the key of the inbox is kept; the folder for state if there is nothing else.
    pub inbox_keys: Option<Arc<dyn Store>>,
    /// Where the inbox goes when the machine ends, and comes from when the next one begins; without one it is gone
    /// with the machine's disk.
    pub vault: Option<Arc<dyn inbox::Vault>>,
    /// Cancelled when the machine ends soon: without a vault nothing is kept any more, so that providers try again
    /// where somebody will be.
    pub ends_soon: CancellationToken,
    /// How providers of webhooks are called; straight, if there is nothing else.
    pub outside: Option<Outside>,
    /// What does not work at the moment, for whoever asks; the edge adds its own.
    pub troubles: Troubles,
}

/// How often the file of [`Machine::renew`] is written: the timer behind it counts in hours.
pub const RENEWED_EVERY: Duration = Duration::from_secs(45);

/// One name that the edge serves.
#[derive(Debug, Clone)]
pub struct Host {
    /// The name.
    pub name: Hostname,
    /// Other spellings that visitors of this name may use, such as `localhost` and `127.0.0.1`.
    pub aliases: Vec<String>,
    /// Who may reach it.
    pub access: Access,
    /// Which paths belong to which webhook provider; a client may add to them.
    pub policies: Option<Policies>,
}

/// Where certificates come from.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a process")]
pub enum CertificateSource {
    /// The authority of this machine, for trials: only who trusts it can connect.
    Local {
        /// The authority.
        ca: LocalCa,
        /// For which names.
        names: Names,
    },
    /// An authority that speaks ACME.
    Acme {
        /// What to order, where; a challenge by tls-alpn-01 must use the table given to [`crate::Edge::bind`].
        config: AcmeConfig,
        /// The files of http-01, for the listener without TLS.
        http_tokens: Option<Arc<HttpTokens>>,
    },
}
