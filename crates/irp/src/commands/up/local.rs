//! `irp up --local`: an edge on this machine, and a client that connects to it like any other.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use irp_client::{ClientConfig, ProxySettings, Roots, STREAM_WINDOW, Timeouts, keys};
use irp_edge::{
    BindError, Edge,
    certs::{Certificates, Names},
    config::{CertificateSource, DRAIN, EdgeConfig, Host},
    http::{Limits, access::Access},
    idle::IdleAfter,
    inbox,
    keys::{Grant, Keys},
    power::Power,
    tunnels::native,
};
use irp_wire::{
    key::{PublicKey, SecretKey},
    name::Hostname,
    tasks::Tasks,
};
use tokio::sync::oneshot;

use super::super::{
    edge::explain,
    program::{self, Program},
    tunnel::{self, Screen},
};
use crate::{
    authority,
    cli::Up,
    config::{access, client, client::Forwarding, policies, state_dir},
    environment::Environment,
    error::{Failure, Kind},
    signals::Signals,
    ui::Ui,
};

/// The port unless told otherwise; where it is taken, one of the next ones is used.
const PORT: u16 = 8443;

/// How many ports are tried.
const PORTS_TRIED: u16 = 50;

/// The name where the environment names nobody.
const NAME: &str = "app";

/// Runs edge, client and, with no upstream, the echo application.
pub(super) async fn run(flags: Up, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let mut screen = Screen::new(&super::told(flags.upstream.as_ref()), None);
    let _post =
        super::post(flags.background, &name(&flags, environment)?, &mut screen, &signals, environment)?;
    let place = Place { name: name(&flags, environment)?, folder: state_dir(environment)?.join("local") };
    let access = access::for_flags(flags.here.allow, flags.here.basic_auth.as_deref(), ui)?;
    let mut limits = Limits::default();
    limits.hold = flags.here.hold.map_or(limits.hold, |span| span.get());
    let program = Program::wanted(flags.forward.program.clone(), flags.upstream.as_ref()).await?;
    let program = program.map(|program| program.logged(flags.background));
    let key = own_key(&place)?;

    let edge =
        start_edge(&place, flags.here.port, &key.public_key(), &access, &limits, environment, ui).await?;
    let address = edge.addresses().first().copied().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    let ca = authority::open(environment)?.path().to_owned();

    let tasks = Tasks::new();
    let upstream = super::upstream(flags.upstream, &tasks).await?;
    let forwarding = Forwarding::from(&flags.forward);
    let config = ClientConfig {
        host: place.name.clone(),
        port: address.port(),
        connect_to: Some(address),
        carrier: None,
        names: vec![place.name.clone()],
        signer: Arc::new(key),
        roots: Roots::Only(ca.clone()),
        known_edges: place.folder.join("known_edges"),
        upstream,
        upstream_trust: forwarding.trust,
        host_header: forwarding.host_header,
        lanes_max: forwarding.lanes_max,
        stream_window: STREAM_WINDOW,
        timeouts: Timeouts::default(),
        policies: policies::for_flags(&flags.webhooks, environment, ui)?,
        proxy: ProxySettings::default(),
        agent: client::AGENT.to_owned(),
    };

    // The edge goes first, so that it still has its tunnel while requests finish; then the client.
    let leave = tunnel::Leave::after_edge();
    let asked = leave.asked.clone();
    let (edge_stop, client_stop) = (leave.asked.clone(), leave.client.clone());
    let (tell_end, end) = oneshot::channel();
    let running = Box::pin(edge.run(edge_stop));
    tasks.spawn(async move {
        let ended = running.await;
        client_stop.cancel();
        tell_end.send(ended)
    });
    let url = format!("https://{}:{}", place.name, address.port());
    let hint = format!("curl --cacert \"{}\" {url}/", shown(&ca, ui));
    screen.hint = Some(hint);
    let result = program::beside(program, &url, &mut signals, ui, async |signals, ui| {
        tunnel::hold_on(config, screen, leave, signals, ui).await
    })
    .await;
    // Where there was no client, nobody has asked the edge to end.
    asked.cancel();
    // A second Ctrl-C, or a client that gave up, waits for nobody.
    if result.as_ref().is_ok_and(|code| *code == ExitCode::SUCCESS) {
        if let Ok(Err(error)) = end.await {
            return Err(Failure::new(Kind::Internal, "the edge cannot go on").because(&error));
        }
        tasks.shutdown(DRAIN).await;
    }
    result
}

/// The name below localhost.
///
/// # Errors
///
/// When what was typed cannot be one.
pub(super) fn name(flags: &Up, environment: &Environment) -> Result<Hostname, Failure> {
    local_name(flags.here.name.as_deref(), environment)
}

/// What is kept between two runs, and under which name.
struct Place {
    name: Hostname,
    folder: PathBuf,
}

/// `alice` and `alice.localhost` are both taken.
fn local_name(typed: Option<&str>, environment: &Environment) -> Result<Hostname, Failure> {
    let Some(typed) = typed else {
        let user = environment.user.as_deref().unwrap_or(NAME);
        return Ok(format!("{user}.localhost").parse().unwrap_or_else(|_| fallback_name()));
    };
    let label = typed.strip_suffix(".localhost").unwrap_or(typed);
    let name = format!("{label}.localhost");
    name.parse().map_err(|error| {
        Failure::new(Kind::User, format!("`{typed}` cannot be a name below localhost"))
            .because(&error)
            .hint("irp up --local --name shop")
    })
}

fn fallback_name() -> Hostname {
    #[expect(clippy::expect_used, reason = "a constant that a test parses too")]
    format!("{NAME}.localhost").parse().expect("a host name")
}

/// The key by which the two halves of this process know each other.
fn own_key(place: &Place) -> Result<SecretKey, Failure> {
    let file = place.folder.join("id_ed25519");
    let (key, _) = keys::file::read_or_generate(&file, "irp up --local", |_| None)
        .map_err(|error| Failure::new(Kind::Config, "the local key is of no use").because(&error))?;
    Ok(key)
}

async fn start_edge(
    place: &Place,
    port: Option<u16>,
    key: &PublicKey,
    access: &Access,
    limits: &Limits,
    environment: &Environment,
    ui: &Ui,
) -> Result<Edge, Failure> {
    let step = ui.step("edge", "starting");
    let first = port.unwrap_or(PORT);
    let last = if port.is_some() { first } else { first.saturating_add(PORTS_TRIED) };
    for port in first..=last {
        let table = Certificates::new();
        let config = edge_config(place, port, key, access, limits, environment)?;
        match Edge::bind(config, table).await {
            Ok(edge) => {
                let taken = if port == first { String::new() } else { format!(" ({first} is taken)") };
                step.done(&format!("on this machine, port {}{taken}", edge.public_port()));
                ui.event("listening", &serde_json::json!({ "addresses": edge.addresses() }));
                return Ok(edge);
            }
            Err(BindError::Listen { source, .. })
                if source.kind() == io::ErrorKind::AddrInUse && port < last => {}
            Err(error) => {
                step.failed();
                return Err(explain(&error).hint("another port: irp up --local --port 9443"));
            }
        }
    }
    step.failed();
    Err(Failure::new(Kind::Network, format!("the ports {first} to {last} are all taken")))
}

fn edge_config(
    place: &Place,
    port: u16,
    key: &PublicKey,
    access: &Access,
    limits: &Limits,
    environment: &Environment,
) -> Result<EdgeConfig, Failure> {
    let names = Names::new([place.name.as_str()])
        .map_err(|error| Failure::new(Kind::User, "no certificate can have this name").because(&error))?;
    let ca = authority::open(environment)?;
    let aliases = ["localhost", "127.0.0.1", "::1", "[::1]"].map(str::to_owned).to_vec();
    let grant =
        Grant { key: *key, names: vec![place.name.clone().into()], comment: "irp up --local".to_owned() };
    Ok(EdgeConfig {
        listen: loopback().map(|address| SocketAddr::new(address, port)).collect(),
        http_listen: Vec::new(),
        metrics_listen: None,
        public_port: None,
        hosts: vec![Host { name: place.name.clone(), aliases, access: access.clone(), policies: None }],
        keys: Keys::new(vec![grant]),
        certificates: CertificateSource::Local { ca, names },
        state: place.folder.join("edge"),
        limits: limits.clone(),
        sessions: native::Settings::default(),
        ssh: None,
        // Several of them share the folder, each with events of its own, which the next one of the same URL delivers.
        inbox: Some(inbox::Settings {
            file: format!(".inbox-{}-{port}.redb", place.name).into(),
            ..inbox::Settings::default()
        }),
        // The process is the machine: it ends with its client.
        idle_after: IdleAfter::NEVER,
        power: Power::Exit,
        drain: DRAIN,
    })
}

/// 127.0.0.1, and ::1 where this machine has it.
fn loopback() -> impl Iterator<Item = IpAddr> {
    let six = IpAddr::from(Ipv6Addr::LOCALHOST);
    let has_six = TcpListener::bind((six, 0)).is_ok();
    [IpAddr::from(Ipv4Addr::LOCALHOST)].into_iter().chain(has_six.then_some(six))
}

/// How a person types the path of the authority: by its command where that works.
fn shown(ca: &std::path::Path, ui: &Ui) -> String {
    if ui.is_for_programs() { ca.display().to_string() } else { "$(irp ca path)".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_a_label_or_whole() {
        let mut environment = Environment::read();
        let name = |typed: Option<&str>, environment: &Environment| {
            local_name(typed, environment).map(|name| name.to_string()).map_err(|failure| failure.kind())
        };
        assert_eq!(name(Some("shop"), &environment), Ok("shop.localhost".into()));
        assert_eq!(name(Some("shop.localhost"), &environment), Ok("shop.localhost".into()));
        assert_eq!(name(Some("my_shop"), &environment), Err(Kind::User));
        environment.user = Some("Alice".into());
        assert_eq!(name(None, &environment), Ok("alice.localhost".into()));
        environment.user = Some("al ice".into());
        assert_eq!(name(None, &environment), Ok("app.localhost".into()));
    }
}
