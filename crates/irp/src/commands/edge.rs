//! `irp edge --config FILE`.

use std::{collections::BTreeSet, io, path::PathBuf, process::ExitCode, time::Duration};

use irp_edge::{BindError, Edge, Ended, certs::Certificates, keys::KeyList};
use irp_wire::tasks::Tasks;
use sd_notify::NotifyState;
use tokio::{sync::oneshot, time::interval};
use tokio_util::sync::CancellationToken;

use crate::{
    cli,
    config::{edge, edge_file::EdgeFile},
    environment::Environment,
    error::{Failure, Kind},
    log,
    signals::{QUIT_CODE, Reload, Signals},
    ui::Ui,
};

/// What the log of an edge shows unless told otherwise.
const LOG_LEVEL: &str = "info";

/// Checks the file only, or runs the edge until it is asked to stop or the idle timer ends it.
pub(super) async fn run(flags: cli::Edge, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let file = EdgeFile::read(&flags.config)?;
    if flags.check {
        ui.line(&format!("{} is right", flags.config.display()));
        if file.is_ahead() {
            ui.warning(&format!("{}: an edge does not start with this file", edge::NOT_IN_AWS_YET));
        }
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
    let config = edge::from_file(file, &table, environment)?;
    let edge = Edge::bind(config, table).await.map_err(|error| explain(&error))?;
    announce(&edge, ui);
    let keys = KeysFile { path: flags.config, names, own_sshd, list: edge.key_list() };
    serve(edge, &mut signals, &mut reload, &keys).await
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
    tracing::info!(identity, "this is the edge's identity, which clients remember");
    ui.event(
        "listening",
        &serde_json::json!({ "addresses": addresses, "http_addresses": http, "identity": identity }),
    );
}

async fn serve(
    edge: Edge,
    signals: &mut Signals,
    reload: &mut Reload,
    keys: &KeysFile,
) -> Result<ExitCode, Failure> {
    let shutdown = CancellationToken::new();
    let (tell_end, mut end) = oneshot::channel();
    let tasks = Tasks::new();
    let running = Box::pin(edge.run(shutdown.clone()));
    tasks.spawn(async move { tell_end.send(running.await) });
    tell_systemd(&[NotifyState::Ready]);
    let mut watchdog = watchdog();
    loop {
        tokio::select! {
            biased;
            () = signals.next() => {
                if shutdown.is_cancelled() {
                    return Ok(QUIT_CODE.into());
                }
                tell_systemd(&[NotifyState::Stopping]);
                shutdown.cancel();
            }
            ended = &mut end => {
                tell_systemd(&[NotifyState::Stopping]);
                return match ended {
                    Ok(Ok(Ended::Asked | Ended::Idle)) => Ok(ExitCode::SUCCESS),
                    Ok(Err(error)) => Err(Failure::new(Kind::Internal, "the edge cannot go on").because(&error)),
                    Err(_) => Err(Failure::new(Kind::Internal, "the edge broke down")),
                };
            }
            () = reload.next() => keys.read_again(),
            () = next(&mut watchdog) => tell_systemd(&[NotifyState::Watchdog]),
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
}

impl KeysFile {
    /// A mistake in the file changes nothing: the edge serves others, who have made none.
    fn read_again(&self) {
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

/// Ticks twice in the time after which systemd would take the process for hung (`WatchdogSec=`).
fn watchdog() -> Option<tokio::time::Interval> {
    let within: Duration = sd_notify::watchdog_enabled()?;
    Some(interval(within / 2))
}

async fn next(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// Tells systemd, where there is one (`Type=notify`).
fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

/// The person's words for why the edge did not start.
pub(super) fn explain(error: &BindError) -> Failure {
    let failure = Failure::new(Kind::Config, "the edge cannot start").because(error);
    let BindError::Listen { address, source } = error else { return failure };
    let port = address.port();
    match source.kind() {
        io::ErrorKind::AddrInUse => failure.hint(format!("see who has the port: ss -ltnp 'sport = :{port}'")),
        io::ErrorKind::PermissionDenied => failure.hint(
            "ports below 1024 need AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit, or root",
        ),
        _ => failure,
    }
}
