//! `irp edge --config FILE`.

use std::{io, process::ExitCode, time::Duration};

use irp_edge::{BindError, Edge, Ended, certs::Certificates};
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
    signals::{QUIT_CODE, Signals},
    ui::Ui,
};

/// What the log of an edge shows unless told otherwise.
const LOG_LEVEL: &str = "info";

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
    let table = Certificates::new();
    let config = edge::from_file(file, &table, environment)?;
    let edge = Edge::bind(config, table).await.map_err(|error| explain(&error))?;
    announce(&edge, ui);
    serve(edge, &mut signals).await
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

async fn serve(edge: Edge, signals: &mut Signals) -> Result<ExitCode, Failure> {
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
            () = next(&mut watchdog) => tell_systemd(&[NotifyState::Watchdog]),
        }
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
