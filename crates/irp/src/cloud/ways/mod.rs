//! The ways to a machine of irp: its public port, Session Manager, and its sshd by either of the two.
//!
//! [`client`] is what every command that keeps a tunnel needs; [`shell`] is for commands that run something there.

pub(crate) mod door;
mod plugin;
pub(crate) mod reported;
pub(crate) mod session_manager;

use std::{error::Error as _, ffi::OsString, net::SocketAddr, path::PathBuf, sync::Arc};

use irp_client::{
    ClientConfig, Roots,
    pipe::CarrierError,
    ssh::{Entrance, SshConfig},
};

use self::{
    door::{Approach, Door, Key},
    reported::EdgePage,
    session_manager::SessionManager,
};
use super::{
    account::Account,
    machines::{Engine, Machine},
};
use crate::{
    cli::ways::{Ssh, Via},
    config,
    environment::{self, Environment},
    error::{Failure, Kind},
    identity,
};

/// The port of a machine at which forwards of ssh come out, where its tag does not say.
const FORWARD_PORT: u16 = 3000;

/// The account of engine irp that may forward and nothing else; `/etc/irp/authorized_keys` has its key.
const FORWARDING_USER: &str = "irp";

/// How a machine is to be reached, as it was wished.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Which way.
    pub(crate) via: Via,
    /// How its sshd is reached.
    pub(crate) ssh: Ssh,
    /// The profile that was typed, for the programs of AWS that irp starts.
    pub(crate) profile: Option<String>,
}

/// A client that keeps a tunnel.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    /// irp's own tunnel.
    Native(Box<ClientConfig>),
    /// A forward of the system's ssh.
    Ssh(Box<SshConfig>),
}

impl Client {
    /// The key with which an edge is to know it; nothing where ssh brings its own.
    pub(crate) fn public_key(&self) -> String {
        match self {
            Self::Native(config) => config.signer.public_key().to_string(),
            Self::Ssh(_) => String::new(),
        }
    }

    /// What a person should know of it, where that is not as with irp's own tunnel.
    pub(crate) fn note(&self) -> Option<&'static str> {
        match self {
            Self::Native(_) => None,
            Self::Ssh(_) => {
                Some("ssh carries requests unseen: no live lines here, and nobody verifies signatures")
            }
        }
    }
}

impl From<ClientConfig> for Client {
    fn from(config: ClientConfig) -> Self {
        Self::Native(Box::new(config))
    }
}

impl From<SshConfig> for Client {
    fn from(config: SshConfig) -> Self {
        Self::Ssh(Box::new(config))
    }
}

/// The client for `machine` by the way that was wished; `config` is what it would be for an edge that is dialled by its
/// name.
///
/// # Errors
///
/// When that machine cannot be reached so: it has no address, or runs something else.
pub(crate) fn client(
    account: &Account,
    machine: &Machine,
    wish: &Wish,
    config: ClientConfig,
    environment: &Environment,
) -> Result<Client, Failure> {
    match (wish.via, machine.engine) {
        (Via::Auto | Via::Tls | Via::Ssm, Engine::Irp) => Ok(native(account, machine, wish, config)?.into()),
        (Via::Tls | Via::Ssm, Engine::Caddy) => Err(Failure::new(
            Kind::User,
            format!("the machine of {} runs Caddy, to which only ssh leads", machine.name),
        )
        .hint("leave --via out, or type --via eic or --via ssh")),
        (Via::Auto, Engine::Caddy) => ssh(account, machine, wish, config, &[Via::Eic, Via::Ssh], environment),
        (Via::Ssh | Via::Eic, _) => ssh(account, machine, wish, config, &[wish.via], environment),
    }
}

/// irp's own tunnel to a machine.
fn native(
    account: &Account,
    machine: &Machine,
    wish: &Wish,
    config: ClientConfig,
) -> Result<ClientConfig, Failure> {
    let sessions =
        SessionManager::to_machine(account.aws.clone(), machine, config.port, wish.profile.clone());
    if wish.via == Via::Ssm {
        return Ok(ClientConfig { carrier: Some(Arc::new(sessions)), ..config });
    }
    let carrier = (wish.via == Via::Auto).then(|| Arc::new(sessions.behind_a_socket()) as _);
    // A proxy has a resolver of its own, and a name is what it lets through.
    let behind_proxy = config.proxy.for_host(&config.host, config.port).is_some();
    let address = match machine.address() {
        _ if config.connect_to.is_some() => config.connect_to,
        _ if behind_proxy => None,
        Some(address) => Some(SocketAddr::new(address, config.port)),
        None => return Err(no_address(machine)),
    };
    Ok(ClientConfig { connect_to: address, carrier, ..config })
}

/// Forwards of the system's ssh, by one way after the other.
fn ssh(
    account: &Account,
    machine: &Machine,
    wish: &Wish,
    config: ClientConfig,
    ways: &[Via],
    environment: &Environment,
) -> Result<Client, Failure> {
    if config.policies.is_some() {
        let message = "ssh carries requests as they come, and nobody verifies them";
        return Err(Failure::new(Kind::User, message)
            .hint("leave --verify out (--no-verify, where a secret alone switched it on), or use irp's own tunnel to a machine with engine irp"));
    }
    if config.names != [config.host.clone()] {
        return Err(Failure::new(Kind::User, "a forward of ssh serves the machine's own name and no other")
            .hint("leave --name out"));
    }
    let mut doors = Vec::new();
    for via in ways {
        let purpose = Purpose::Forward { roots: &config.roots, edge_port: config.port };
        doors.push(Arc::new(door(account, machine, wish, *via, purpose, environment)?) as Arc<dyn Entrance>);
    }
    let mut doors = doors.into_iter();
    let Some(entrance) = doors.next() else {
        return Err(Failure::new(Kind::Internal, "there is no way to the machine"));
    };
    let agent = match machine.engine {
        Engine::Irp => "irp",
        Engine::Caddy => "caddy",
    };
    let port = if config.port == 443 { String::new() } else { format!(":{}", config.port) };
    let ssh = SshConfig {
        urls: vec![format!("https://{}{port}", config.host)],
        agent: agent.to_owned(),
        entrance,
        others: doors.collect(),
        forward_port: machine.upstream_port.unwrap_or(FORWARD_PORT),
        upstream: config.upstream,
        folder: config::state_dir(environment)?,
    };
    Ok(ssh.into())
}

/// The door for commands that run something on a machine.
///
/// # Errors
///
/// When nobody knows the account, or the machine has no address.
pub(crate) fn shell(
    account: &Account,
    machine: &Machine,
    wish: &Wish,
    environment: &Environment,
) -> Result<Door, Failure> {
    door(account, machine, wish, wish.via, Purpose::Shell, environment)
}

/// What is logged in for.
#[derive(Clone, Copy)]
enum Purpose<'a> {
    Forward { roots: &'a Roots, edge_port: u16 },
    Shell,
}

fn door(
    account: &Account,
    machine: &Machine,
    wish: &Wish,
    via: Via,
    purpose: Purpose<'_>,
    environment: &Environment,
) -> Result<Door, Failure> {
    let forwards = matches!(purpose, Purpose::Forward { .. });
    let user = match (&wish.ssh.os_user, &machine.user) {
        (Some(typed), _) => typed.clone(),
        (None, _) if via == Via::Ssh && forwards && machine.engine == Engine::Irp => {
            FORWARDING_USER.to_owned()
        }
        (None, Some(user)) => user.clone(),
        (None, None) => {
            let message = format!("nobody knows the account of the image of {}", machine.id);
            return Err(Failure::new(Kind::User, message)
                .hint("--os-user ec2-user   (Amazon Linux; admin on Debian, ubuntu on Ubuntu)"));
        }
    };
    let port = wish.ssh.ssh_port;
    let approach = if wish.ssh.direct {
        Approach::Direct(machine.address().ok_or_else(|| no_address(machine))?, port)
    } else {
        let sessions = SessionManager::to_machine(account.aws.clone(), machine, port, wish.profile.clone());
        Approach::Through { sessions, program: proxy(account, machine, port, wish.profile.as_deref())? }
    };
    let key = if via == Via::Ssh { Key::Own(identity::files(environment)) } else { Key::Pushed };
    let page = match (purpose, machine.engine, machine.address()) {
        (Purpose::Forward { roots, edge_port }, Engine::Irp, Some(address)) => Some(EdgePage {
            host: machine.name.clone(),
            at: SocketAddr::new(address, edge_port),
            roots: roots.clone(),
        }),
        _ => None,
    };
    Ok(Door {
        aws: account.aws.clone(),
        id: machine.id.clone(),
        user,
        key,
        approach,
        page,
        reported: Default::default(),
    })
}

/// What ssh runs to carry its bytes: this program.
fn proxy(
    account: &Account,
    machine: &Machine,
    port: u16,
    profile: Option<&str>,
) -> Result<Vec<OsString>, Failure> {
    let program: PathBuf = environment::this_program()
        .ok_or_else(|| Failure::new(Kind::Internal, "irp does not know where it is"))?;
    let mut words = vec![
        program.into_os_string(),
        "ssh-proxy".into(),
        machine.id.clone().into(),
        port.to_string().into(),
    ];
    words.extend(["--region".into(), account.aws.region().into()]);
    if let Some(profile) = profile {
        words.extend(["--profile".into(), profile.into()]);
    }
    Ok(words)
}

/// Sees to it that sessions of Session Manager can be carried on this PC, where there is no other way.
///
/// # Errors
///
/// When AWS's program for them is missing, or too old.
pub(crate) async fn can_carry_sessions() -> Result<(), Failure> {
    plugin::check().await.map_err(|error| explain(&error))
}

/// The person's words for why a way leads nowhere.
pub(crate) fn explain(error: &CarrierError) -> Failure {
    let failure = Failure::new(kind(error), error.to_string());
    let failure = match error.source() {
        Some(source) => failure.because(source),
        None => failure,
    };
    error.hints().iter().fold(failure, |failure, hint| failure.hint(hint))
}

/// Whose fault it is: AWS's where AWS refused.
pub(crate) fn kind(error: &CarrierError) -> Kind {
    let refused = error.source().and_then(|source| source.downcast_ref::<irp_aws::Error>());
    match refused.map(irp_aws::Error::kind) {
        Some(irp_aws::Kind::Network) | None => Kind::Network,
        Some(_) => Kind::Cloud,
    }
}

fn no_address(machine: &Machine) -> Failure {
    Failure::new(Kind::Network, format!("{} has no public address (yet)", machine.id))
        .hint("--via ssm needs none")
}
