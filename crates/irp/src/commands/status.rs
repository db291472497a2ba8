//! `irp status NAME`.

use std::process::ExitCode;

use irp_aws::ec2::State;
use irp_launch::values::Hours;
use irp_wire::{name::Hostname, report::Report};
use serde::Serialize;

use crate::{
    cli::machines::Status,
    clock,
    cloud::{
        account::{self, Account},
        edge_report::{Inquirer, Said},
        machines::{self, Machine},
        portrait::{Portrait, dollars},
        record::Records,
    },
    environment::Environment,
    error::Failure,
    ui::Ui,
};

/// What is told about a name.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a Hostname,
    url: String,
    /// That of the machine, or `none`.
    state: &'static str,
    /// The one that serves the name, or what is left of the last one.
    machine: Option<&'a Portrait>,
    /// Ids of machines of the same name beside it.
    others: Vec<&'a str>,
    record: Option<&'a Record>,
    /// What the edge on the machine tells.
    edge: Option<&'a Said>,
}

/// Where the name leads.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Record {
    /// `here`, `elsewhere`, `missing`, or `unknown` where one may not look.
    state: &'static str,
    values: Vec<String>,
}

/// Looks at the machine of a name and at its record.
pub(super) async fn run(flags: &Status, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let name = machines::name(flags.named.name.as_deref(), &flags.named.settings(), environment, ui)?;
    let account = account::find(&flags.access).await?;
    let step = ui.step("status", "looking for the machine");
    let found = machines::named(&account, &name).await?;
    let machine = foremost(&found);
    let record = match machine.filter(|machine| machine.state.is_alive()) {
        Some(machine) => Some(record(&account, machine).await),
        None => None,
    };
    let edge = match machine {
        Some(machine) if machine.state == State::Running => {
            let inquirer = Inquirer::new(&flags.asking, flags.connect_to, environment, ui).await;
            inquirer.ask(machine).await
        }
        _ => None,
    };
    drop(step);
    let portrait = machine.map(|machine| Portrait::of(machine, clock::now()));
    let is_other = |other: &&Machine| {
        other.state != State::Terminated && machine.is_some_and(|machine| machine.id != other.id)
    };
    let others: Vec<_> = found.iter().filter(is_other).map(|other| other.id.as_str()).collect();
    let told = Told {
        url: format!("https://{name}"),
        state: portrait.as_ref().filter(|it| it.state != "terminated").map_or("none", |it| it.state),
        name: &name,
        machine: portrait.as_ref(),
        others,
        record: record.as_ref(),
        edge: edge.as_ref(),
    };
    ui.event("status", &told);
    match (machine, &portrait) {
        (Some(machine), Some(portrait)) if machine.state != State::Terminated => {
            show(machine, portrait, &told, ui);
        }
        (_, last) => {
            ui.fact("state", &format!("no machine of {name} in {}", account.aws.region()));
            if let Some(reason) = last.as_ref().and_then(|last| last.reason.as_deref()) {
                ui.fact("the last one", &format!("ended: {reason}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The one to tell about: the oldest that lives, else one that is not gone, else the one that was there last.
fn foremost(found: &[Machine]) -> Option<&Machine> {
    let alive = found.iter().find(|machine| machine.state.is_alive());
    let left = || found.iter().rev().find(|machine| machine.state != State::Terminated);
    alive.or_else(left).or_else(|| found.last())
}

/// Where the name of a machine leads; those who may not look still get the rest.
async fn record(account: &Account, machine: &Machine) -> Record {
    let records = match &machine.zone_id {
        Some(id) => Ok(Some(Records::of(account, id, machine.name.as_str()))),
        None => Records::found(account, machine.name.as_str()).await,
    };
    let sets = match records {
        Ok(Some(records)) => records.read().await,
        Ok(None) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    };
    match sets {
        Ok(sets) => judge(sets.into_iter().flat_map(|set| set.values).collect(), machine),
        Err(failure) => {
            tracing::debug!(why = failure.message(), "the record is not seen");
            Record { state: "unknown", values: Vec::new() }
        }
    }
}

fn judge(values: Vec<String>, machine: &Machine) -> Record {
    let own: Vec<String> = machine.addresses().iter().map(ToString::to_string).collect();
    let state = match values.as_slice() {
        [] => "missing",
        values if values.iter().all(|value| own.contains(value)) => "here",
        _ => "elsewhere",
    };
    Record { state, values }
}

fn show(machine: &Machine, portrait: &Portrait, told: &Told<'_>, ui: &Ui) {
    ui.fact("url", &portrait.url);
    let since =
        machine.launched.map(|at| format!(", launched {} ago, {}", portrait.age(), clock::utc_minute(at)));
    ui.fact("state", &format!("{}{}", portrait.state, since.unwrap_or_default()));
    let addresses: Vec<_> = machine.addresses().iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { "none yet".to_owned() } else { addresses.join(", ") };
    ui.fact("address", &addresses);
    if let Some(record) = told.record {
        ui.fact("record", &record_words(record));
    }
    let zone = portrait.zone.as_deref().unwrap_or_default();
    ui.fact("machine", &format!("{}  {}  {zone}  engine {}", portrait.id, portrait.kind(), portrait.engine));
    match told.edge {
        Some(Said::Told(report)) => show_edge(report, ui),
        Some(Said::Silent { unknown }) => ui.fact("edge", &format!("does not tell: {unknown}")),
        None => {}
    }
    let clock = told.edge.and_then(Said::end).map(|clock| format!(" (the clock says: {clock})"));
    ui.fact("ends", &format!("{}{}", end_words(machine), clock.unwrap_or_default()));
    if let (Some(so_far), Some(hour)) = (portrait.cost_usd, portrait.cost_usd_per_hour) {
        let of = portrait.prices_of;
        ui.fact(
            "cost",
            &format!(
                "about {} so far, {} an hour (list prices of us-east-1, {of})",
                dollars(so_far),
                dollars(hour)
            ),
        );
    }
    if !told.others.is_empty() {
        ui.warning(&format!("there are more machines of this name: {}", told.others.join(", ")));
    }
}

/// What the edge tells of itself.
fn show_edge(report: &Report, ui: &Ui) {
    let tunnels: Vec<_> = report
        .tunnels
        .iter()
        .map(|tunnel| match tunnel.holder.as_str() {
            "" => format!("by {}", tunnel.way),
            holder => format!("by {}, {holder}", tunnel.way),
        })
        .collect();
    let tunnels = if tunnels.is_empty() { "none".to_owned() } else { tunnels.join("; ") };
    ui.fact("tunnel", &tunnels);
    ui.fact("connected", &format!("{} in all", report.sessions));
    if let Some(parked) = report.parked.filter(|parked| *parked > 0) {
        let more = if report.parked_outlive { ", also beyond the end of the machine" } else { "" };
        ui.fact("waiting", &format!("{parked} events for a tunnel{more}"));
    }
    for notice in &report.notices {
        ui.fact("notice", notice);
    }
    for trouble in &report.troubles {
        ui.fact("trouble", trouble);
    }
}

fn record_words(record: &Record) -> String {
    let values = record.values.join(", ");
    match record.state {
        "here" => format!("points here ({values})"),
        "elsewhere" => format!("points elsewhere, to {values}"),
        "missing" => "is not there (yet)".to_owned(),
        _ => "cannot be looked at".to_owned(),
    }
}

/// When it ends itself, as far as its tags tell.
fn end_words(machine: &Machine) -> String {
    let hours = |hours: Option<Hours>| hours.and_then(Hours::duration).map(clock::words);
    match (hours(machine.idle), hours(machine.max_life)) {
        (Some(idle), Some(life)) => format!("{idle} after its last session, and {life} after its launch"),
        (Some(idle), None) => format!("{idle} after its last session"),
        (None, Some(life)) => format!("{life} after its launch"),
        (None, None) => "not by itself".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(id: &str, state: State) -> Machine {
        Machine {
            id: id.into(),
            name: "alice.example.com".parse().unwrap(),
            engine: machines::Engine::Irp,
            state,
            reason: None,
            ipv4: Some([203, 0, 113, 7].into()),
            ipv6: None,
            launched: None,
            instance_type: "t4g.nano".into(),
            place: None,
            spot: false,
            groups: Vec::new(),
            zone_id: None,
            by_pc: false,
            user: None,
            upstream_port: None,
            idle: "0.5".parse().ok(),
            max_life: "0".parse().ok(),
            owner: None,
        }
    }

    #[test]
    fn the_machine_that_serves_is_told_before_what_is_left_of_others() {
        let found = [
            machine("i-1", State::Terminated),
            machine("i-2", State::Stopped),
            machine("i-3", State::Running),
            machine("i-4", State::Pending),
        ];
        assert_eq!(foremost(&found).map(|it| it.id.as_str()), Some("i-3"));
        assert_eq!(foremost(&found[..2]).map(|it| it.id.as_str()), Some("i-2"));
        assert_eq!(foremost(&found[..1]).map(|it| it.id.as_str()), Some("i-1"));
        assert!(foremost(&[]).is_none());
    }

    #[test]
    fn a_record_points_here_or_elsewhere_or_is_missing() {
        let machine = machine("i-1", State::Running);
        let state =
            |values: &[&str]| judge(values.iter().map(|it| (*it).to_owned()).collect(), &machine).state;
        assert_eq!(state(&["203.0.113.7"]), "here");
        assert_eq!(state(&["203.0.113.7", "203.0.113.8"]), "elsewhere");
        assert_eq!(state(&[]), "missing");
        assert_eq!(end_words(&machine), "30 min after its last session");
    }
}
