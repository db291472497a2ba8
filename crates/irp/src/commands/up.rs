//! `irp up`: with an edge in the AWS account ([`cloud`]), or with one on this machine ([`local`]).

mod cloud;
mod detach;
mod local;
mod machine;
mod name;
mod sight;

use std::process::ExitCode;

use irp_client::Upstream;
use irp_wire::{name::Hostname, tasks::Tasks};

use super::tunnel::Screen;
use crate::{
    background::Post,
    cli::Up,
    echo::Echo,
    environment::Environment,
    error::{Failure, Kind},
    signals::Signals,
    ui::Ui,
};

/// What stands for the upstream when none is named.
const BUILT_IN: &str = "the built-in echo application";

/// Runs the one that was asked for.
pub(super) async fn run(flags: Up, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    if flags.detach {
        let name = if flags.local {
            local::name(&flags, environment)?
        } else {
            cloud::name(&flags, environment, ui)?
        };
        return detach::run(&name, flags.upstream.as_ref(), environment, ui).await;
    }
    if flags.local {
        return Box::pin(local::run(flags, environment, ui)).await;
    }
    Box::pin(cloud::run(flags, environment, ui)).await
}

/// The post of a process in the background; `None` for one on a terminal.
fn post(
    is_background: bool,
    name: &Hostname,
    screen: &mut Screen,
    signals: &Signals,
    environment: &Environment,
) -> Result<Option<Post>, Failure> {
    if !is_background {
        return Ok(None);
    }
    screen.leaving = format!("irp disconnect {name}");
    let standing = screen.standing.subscribe();
    Post::open(name, &screen.upstream, standing, signals.also(), environment).map(Some)
}

/// The upstream that was named, or the built-in one.
async fn upstream(named: Option<Upstream>, tasks: &Tasks) -> Result<Upstream, Failure> {
    match named {
        Some(upstream) => Ok(upstream),
        None => start_echo(tasks).await,
    }
}

/// How it is called.
fn told(named: Option<&Upstream>) -> String {
    named.map_or_else(|| BUILT_IN.to_owned(), ToString::to_string)
}

async fn start_echo(tasks: &Tasks) -> Result<Upstream, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Kind::Internal, "the echo application cannot start").because(&error)
    };
    let echo = Echo::bind().await.map_err(failed)?;
    let port = echo.address().map_err(failed)?.port();
    echo.serve(tasks);
    Ok(Upstream::local(port))
}
