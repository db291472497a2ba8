//! `irp edge --config FILE`.

#[cfg_attr(not(target_os = "linux"), path = "edge/service/elsewhere.rs")]
mod service;

use std::{collections::BTreeSet, io, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use irp_edge::{
    BindError, Edge, Ended,
    certs::Certificates,
    config::Machine,
    http::HostKeys,
    keys::KeyList,
    notices::Notices,
    power::{Presence, WITHDRAW_WITHIN},
    troubles::Troubles,
};
use irp_wire::tasks::Tasks;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use self::service::Watchdog;
use crate::{
    advice, cli,
    config::{edge, edge_file::EdgeFile},
    environment::Environment,
    error::{Failure, Kind},
    log, machine,
    signals::{QUIT_CODE, Reload, Signals},
    ui::Ui,
};

/// What the log of an edge shows unless told otherwise.
const LOG_LEVEL: &str = "info";

/// How long those who watch the machine may take to stop: they wait for nothing.
const WATCHERS_STOP: Duration = Duration::from_secs(2);

/// Checks the file only, or runs the edge until it is asked to stop or the idle timer ends it.
pub(super) async fn run(flags: cli::Edge, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let file = EdgeFile::read(&flags.config)?;
    if flags.check {
        ui.line(&format!("{} is right", flags.config.display()));
        ui.event(
            "checked",
            &serde_json::json!({ "config": flags.config, "names": file.certificate_names() }),
        );
        return Ok(ExitCode::SUCCESS);
    }
    start_log(&file, environment, ui)?;
    let mut signals = Signals::listen()?;
    let mut reload = Reload::listen()?;
    let names = file.certificate_names();
    let own_sshd = file.sshd.as_ref().is_some_and(|sshd| sshd.on_443);
    let table = Certificates::new();
    let (notices, troubles) = (Notices::default(), Troubles::default());
    let ends_soon = CancellationToken::new();
    let mut in_aws = match &file.aws {
        Some(settings) => Some(machine::open(&file, settings, &notices, &troubles).await?),
        None => None,
    };
    let presence = in_aws.as_ref().map(|aws| Arc::new(aws.records.clone()) as Arc<dyn Presence>);
    let given = Machine {
        store: in_aws.as_ref().and_then(|aws| aws.store.clone()),
        inbox_keys: in_aws.as_ref().and_then(|aws| aws.inbox_keys.clone()),
        vault: in_aws.as_ref().and_then(|aws| aws.vault.clone()),
        ends_soon: ends_soon.clone(),
        renew: file.idle.renew.clone(),
        presence: presence.clone(),
        enrolment: in_aws.as_mut().and_then(|aws| aws.enrolment.take()),
        host_keys: HostKeys::new(file.sshd.iter().flat_map(|sshd| sshd.host_keys.clone()).collect()),
        notices: notices.clone(),
        troubles: troubles.clone(),
        ..Machine::default()
    };
    let ends_at = file.idle.ends_at.clone();
    let zone = in_aws.as_ref().and_then(|aws| aws.dns.clone());
    let mut config = edge::from_file(file, &table, environment, zone)?;
    if let Some(aws) = &in_aws {
        aws.secrets.apply(&aws.names, &mut config.hosts);
    }
    let edge = Edge::bind_on(config, table, given).await.map_err(|error| explain(&error))?;
    announce(&edge, ui);
    let secrets = in_aws.as_ref().map(|aws| aws.secrets.again());
    let keys = KeysFile { path: flags.config, names, own_sshd, list: edge.key_list(), secrets };
    let watchers = Tasks::new();
    if let Some(file) = ends_at {
        let (notices, ends_soon, stop) = (notices.clone(), ends_soon.clone(), watchers.token().clone());
        watchers.spawn(async move {
            stop.run_until_cancelled(machine::planned_end::announce(&file, &notices, &ends_soon)).await;
        });
    }
    if let Some(aws) = &in_aws {
        let stop = watchers.token().clone();
        watchers.spawn(aws.records.clone().run(notices, troubles, ends_soon, stop));
    }
    let machine_ends = in_aws.as_ref().and_then(|aws| aws.machine_ends.clone());
    if let Some(aws) = in_aws {
        watchers.spawn(aws.secrets.follow(watchers.token().clone()));
    }
    let departure = Departure { presence, machine_ends };
    let code = serve(edge, &mut signals, &mut reload, &keys, &departure).await;
    watchers.shutdown(WATCHERS_STOP).await;
    code
}

/// How the machine leaves when this process is asked to stop because the machine ends.
struct Departure {
    presence: Option<Arc<dyn Presence>>,
    /// The file tells a machine that ends from a service that is started again.
    machine_ends: Option<PathBuf>,
}

impl Departure {
    /// Takes the records away beside everything else, if the machine ends: requests under way may take a while, and
    /// visitors should not come here any more.
    fn begin(&self, tasks: &Tasks) {
        let ends = self.machine_ends.as_ref().is_some_and(|file| file.exists());
        if let Some(presence) = self.presence.clone().filter(|_| ends) {
            tasks.spawn(async move { presence.withdraw().await });
        }
    }
}

fn start_log(file: &EdgeFile, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let (filter, named) = match (&environment.log, ui.verbosity(), &file.log.level) {
        (Some(filter), ..) => (filter.as_str(), "IRP_LOG"),
        (None, Some(level), _) => (level, "-v"),
        (None, None, Some(filter)) => (filter.as_str(), "level of [log]"),
        (None, None, None) => (LOG_LEVEL, "the default"),
    };
    log::start(ui, filter, file.log.format, named)
}

/// Says where the edge listens: with port 0 in the file, nobody knew before.
fn announce(edge: &Edge, ui: &Ui) {
    let (addresses, http) = (edge.addresses(), edge.http_addresses());
    let identity = edge.identity().fingerprint();
    for address in &addresses {
        tracing::info!(%address, "listening for visitors and clients");
    }
    for address in &http {
        tracing::info!(%address, "listening for plain HTTP");
    }
    let metrics = edge.metrics_address();
    if let Some(address) = metrics {
        tracing::info!(%address, "showing metrics at /metrics");
    }
    tracing::info!(identity, "this is the edge's identity, which clients remember");
    ui.event(
        "listening",
        &serde_json::json!({
            "addresses": addresses, "http_addresses": http, "metrics_address": metrics, "identity": identity
        }),
    );
}

async fn serve(
    edge: Edge,
    signals: &mut Signals,
    reload: &mut Reload,
    keys: &KeysFile,
    departure: &Departure,
) -> Result<ExitCode, Failure> {
    let shutdown = CancellationToken::new();
    let (tell_end, mut end) = oneshot::channel();
    let tasks = Tasks::new();
    let running = Box::pin(edge.run(shutdown.clone()));
    tasks.spawn(async move { tell_end.send(running.await) });
    service::tell_ready();
    let mut watchdog = Watchdog::of_service();
    loop {
        tokio::select! {
            biased;
            () = signals.next() => {
                if shutdown.is_cancelled() {
                    return Ok(QUIT_CODE.into());
                }
                service::tell_stopping();
                departure.begin(&tasks);
                shutdown.cancel();
            }
            ended = &mut end => {
                service::tell_stopping();
                if !tasks.shutdown(WITHDRAW_WITHIN).await.in_time {
                    tracing::error!("taking the machine's records away takes too long: ending with them");
                }
                return match ended {
                    Ok(Ok(Ended::Asked | Ended::Idle)) => Ok(ExitCode::SUCCESS),
                    Ok(Err(error)) => Err(Failure::new(Kind::Internal, "the edge cannot go on").because(&error)),
                    Err(_) => Err(Failure::new(Kind::Internal, "the edge broke down")),
                };
            }
            () = reload.next() => keys.read_again(),
            () = watchdog.tick() => {}
        }
    }
}

/// The file from which a running edge reads its keys again, at SIGHUP.
struct KeysFile {
    path: PathBuf,
    /// The names that the certificate was made for.
    names: BTreeSet<String>,
    /// Whether an sshd of ours has read the keys as well.
    own_sshd: bool,
    list: KeyList,
    /// Has signing secrets read again.
    secrets: Option<Arc<Notify>>,
}

impl KeysFile {
    /// A mistake in the file changes nothing: the edge serves others, who have made none.
    fn read_again(&self) {
        if let Some(secrets) = &self.secrets {
            secrets.notify_one();
        }
        let file = match EdgeFile::read(&self.path) {
            Ok(file) => file,
            Err(failure) => {
                let (why, causes) = (failure.message(), failure.causes().join(": "));
                tracing::error!(why, causes, "the configuration is not right: all keys stay as they were");
                return;
            }
        };
        if file.certificate_names() != self.names {
            tracing::warn!("the names are not those of the certificate: start the edge again for a new one");
        }
        if self.own_sshd {
            tracing::warn!("tunnels of `ssh -R` keep the keys that were read at the start");
        }
        self.list.replace(edge::keys(file.keys));
    }
}

/// The person's words for why the edge did not start.
pub(super) fn explain(error: &BindError) -> Failure {
    let failure = Failure::new(Kind::Config, "the edge cannot start").because(error);
    let BindError::Listen { address, source } = error else { return failure };
    let port = address.port();
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            failure.hint(format!("see who has the port: {}", advice::who_listens(port)))
        }
        io::ErrorKind::PermissionDenied => failure.hint(advice::BIND_LOW_PORT),
        _ => failure,
    }
}
