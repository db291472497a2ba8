//! `irp inbox ls|show|deliver|drop HOST`: asks the edge about the events that it keeps.

use std::{process::ExitCode, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use irp_client::{DialError, Edge, Errand, ErrandError, Roots, keys};
use irp_wire::{
    errand::{Ask, Kept, NOTHING_KEPT, NUMBERS_MAX, Told},
    hello::HelloError,
    key::Signer,
};
use serde_json::json;

use crate::{
    authority,
    cli::inbox::{self as typed, Inbox, InboxCommand, is_local},
    clock,
    config::{client, state_dir},
    environment::Environment,
    error::{Failure, Kind},
    identity::{self, Wish},
    ui::Ui,
};

/// Asks, and shows the answer.
pub(super) async fn run(flags: Inbox, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    match flags.command {
        InboxCommand::Ls { edge } => list(&edge, environment, ui).await?,
        InboxCommand::Show { edge, number } => show(&edge, number, environment, ui).await?,
        InboxCommand::Deliver { edge, numbers } => {
            let count = change(&edge, numbers, |numbers| Ask::Deliver { numbers }, environment, ui).await?;
            ui.event("inbox_tried_again", &json!({ "count": count }));
            ui.line(&format!("{} will be tried again", events(count)));
        }
        InboxCommand::Drop { edge, numbers, all: _ } => {
            let count = change(&edge, numbers, |numbers| Ask::Drop { numbers }, environment, ui).await?;
            ui.event("inbox_dropped", &json!({ "count": count }));
            ui.line(&format!("{} forgotten", events(count)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(edge: &typed::Edge, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let mut errand = open(edge, environment, ui).await?;
    let mut found: Vec<Kept> = Vec::new();
    let mut take = |told: Told| {
        if let Told::Event(kept) = told {
            found.push(kept);
        }
    };
    errand.ask(&Ask::List, &mut take).await.map_err(|error| explain(error, edge))?;
    if ui.is_for_programs() {
        found.iter().for_each(|kept| ui.event("inbox_event", kept));
        return Ok(());
    }
    if found.is_empty() {
        ui.line(&format!("no events are kept for {}", edge.name));
    }
    for kept in &found {
        ui.result(&line(kept));
    }
    if found.iter().any(|kept| kept.failed) {
        ui.line(&format!("look at one: irp inbox show {} N", edge.name));
        ui.line(&format!("try those again that were moved aside: irp inbox deliver {}", edge.name));
    }
    Ok(())
}

fn line(kept: &Kept) -> String {
    let age = clock::words(Duration::from_secs(kept.kept_s));
    let state = match (kept.failed, kept.attempts) {
        (true, attempts) => format!("moved aside after {attempts} attempts"),
        (false, 0) => "waits".to_owned(),
        (false, attempts) => format!("waits, {attempts} attempts failed"),
    };
    let kind = kept.kind.as_deref().unwrap_or("event");
    format!(
        "{:>6}  {age:>12} ago  {} {kind}  {}  {} bytes  {state}",
        kept.number, kept.provider, kept.path, kept.bytes
    )
}

async fn show(edge: &typed::Edge, number: u64, environment: &Environment, ui: &Ui) -> Result<(), Failure> {
    let mut errand = open(edge, environment, ui).await?;
    let (mut kept, mut headers, mut body) = (None, Vec::new(), Vec::new());
    let take = |told: Told| match told {
        Told::Event(event) => kept = Some(event),
        Told::Header { name, value } => headers.push((name, value)),
        Told::Piece { base64 } => body.extend(BASE64_STANDARD.decode(base64).unwrap_or_default()),
        _ => {}
    };
    errand.ask(&Ask::Show { number }, take).await.map_err(|error| explain(error, edge))?;
    if ui.is_for_programs() {
        let body = String::from_utf8_lossy(&body);
        ui.event("inbox_event", &json!({ "kept": kept, "headers": headers, "body": body }));
        return Ok(());
    }
    if let Some(kept) = kept {
        ui.line(line(&kept).trim_start());
    }
    headers.iter().for_each(|(name, value)| ui.line(&format!("{name}: {value}")));
    ui.gap();
    ui.document(&body);
    Ok(())
}

async fn change(
    edge: &typed::Edge,
    numbers: Vec<u64>,
    ask: impl Fn(Vec<u64>) -> Ask,
    environment: &Environment,
    ui: &Ui,
) -> Result<u64, Failure> {
    let mut errand = open(edge, environment, ui).await?;
    let mut count = 0;
    // One question without numbers means all; many numbers go in several.
    let parts: Vec<Vec<u64>> = match numbers.is_empty() {
        true => vec![Vec::new()],
        false => numbers.chunks(NUMBERS_MAX).map(<[u64]>::to_vec).collect(),
    };
    let wanted = numbers.len() as u64;
    for part in parts {
        count += errand.ask(&ask(part), drop).await.map_err(|error| explain(error, edge))?;
    }
    if count < wanted {
        ui.warning_line(&format!("{} of these numbers is no event (any more)", wanted - count));
    }
    Ok(count)
}

fn events(count: u64) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

async fn open(edge: &typed::Edge, environment: &Environment, ui: &Ui) -> Result<Errand, Failure> {
    let address = edge.address().map_err(|error| {
        Failure::new(Kind::User, format!("`{}` names no edge", edge.name)).because(&error)
    })?;
    // Whoever names a key or an authority has an edge of their own in mind.
    let is_local = is_local(&address) && edge.key.is_none() && edge.cacert.is_none() && !edge.agent;
    let folder = state_dir(environment)?.join("local");
    let (signer, known_edges): (Arc<dyn Signer>, _) = if is_local {
        (local_key(&folder)?, folder.join("known_edges"))
    } else {
        let wish = Wish { file: edge.key.as_deref(), agent_only: edge.agent, no_agent: edge.no_agent };
        (identity::find(wish, environment, ui).await?, client::known_edges(environment)?)
    };
    let roots = match &edge.cacert {
        Some(file) => Roots::SystemAnd(file.clone()),
        None if is_local => Roots::Only(authority::open(environment)?.path().to_owned()),
        None => Roots::System,
    };
    let connect_to = edge.connect_to.or(is_local.then(|| ([127, 0, 0, 1], address.port).into()));
    let to = Edge {
        host: address.host,
        port: address.port,
        connect_to,
        signer,
        roots,
        known_edges,
        proxy: client::proxy(environment)?,
        agent: client::AGENT.to_owned(),
    };
    Errand::open(&to).await.map_err(|error| explain(error, edge))
}

/// The key by which the two halves of `irp up --local` know each other.
fn local_key(folder: &std::path::Path) -> Result<Arc<dyn Signer>, Failure> {
    let (key, _) = keys::file::read_or_generate(&folder.join("id_ed25519"), "irp up --local", |_| None)
        .map_err(|error| Failure::new(Kind::Config, "the local key is of no use").because(&error))?;
    Ok(Arc::new(key))
}

fn explain(error: ErrandError, edge: &typed::Edge) -> Failure {
    let kind = match &error {
        ErrandError::Refused(_) => Kind::User,
        ErrandError::Roots(_) => Kind::Config,
        _ => Kind::Network,
    };
    let failure = Failure::new(kind, format!("the inbox of {} cannot be asked", edge.name)).because(&error);
    match &error {
        ErrandError::Old => failure.hint("bring the irp on the edge up to date"),
        ErrandError::Refused(why) if why.contains(NOTHING_KEPT) => {
            failure.hint("its log says why: another edge may run there, or [inbox] of edge.toml is off")
        }
        ErrandError::Refused(_) => failure.hint(format!("irp inbox ls {}", edge.name)),
        ErrandError::Connect { source, .. } => match source.as_ref() {
            DialError::Hello(HelloError::Refused(_)) => {
                failure.hint("another key: --key FILE, or --agent for that of the ssh-agent")
            }
            _ => failure.hint("does the edge run, and is the port right? HOST:PORT"),
        },
        _ => failure,
    }
}
