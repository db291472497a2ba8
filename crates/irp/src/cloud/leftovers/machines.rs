//! Machines that should have ended.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use irp_aws::ec2::State;
use irp_launch::{price, values::Hours};

use super::{Leftover, What};
use crate::{
    clock,
    cloud::{
        account::{Account, explain},
        machines::Machine,
    },
    error::Failure,
};

/// How much longer than its maximum life a machine may live: it takes its time to boot, and to power off.
const GRACE: Duration = Duration::from_secs(15 * 60);

/// Finds machines that are stopped, too many, or too old, and those that would stop rather than end.
pub(super) async fn find(
    account: &Account,
    all: &[Machine],
    now: SystemTime,
) -> Result<Vec<Leftover>, Failure> {
    let mut found: Vec<Leftover> = all.iter().filter_map(|machine| judge(machine, all, now)).collect();
    for machine in all.iter().filter(|machine| machine.state.is_alive()) {
        let is_found =
            found.iter().any(|left| matches!(&left.what, What::Machine { id, .. } if *id == machine.id));
        if is_found {
            continue;
        }
        let terminates = account.aws.ec2().terminates_on_shutdown(&machine.id).await;
        if !terminates.map_err(|error| explain(&error))? {
            found.push(Leftover {
                what: What::ShutdownBehaviour { id: machine.id.clone(), name: machine.name.to_string() },
                why: "it would stop instead of ending itself, and its disk would go on costing".to_owned(),
                cost_usd_per_month: Some(price::disk_month()),
            });
        }
    }
    Ok(found)
}

/// Why a machine should not be there, if so. `all` are ordered by age.
fn judge(machine: &Machine, all: &[Machine], now: SystemTime) -> Option<Leftover> {
    let left = |why: String, cost_usd_per_month| {
        let what = What::Machine { id: machine.id.clone(), name: machine.name.to_string() };
        Some(Leftover { what, why, cost_usd_per_month })
    };
    if matches!(machine.state, State::Stopped | State::Stopping) {
        return left("it is stopped, and its disk goes on costing".to_owned(), Some(price::disk_month()));
    }
    if !machine.state.is_alive() {
        return None;
    }
    let month = price::month(&machine.instance_type);
    let serves = oldest(all).get(machine.name.as_str()).copied();
    if let Some(first) = serves.filter(|first| first.id != machine.id) {
        return left(format!("{} serves the name, and this one nobody", first.id), month);
    }
    let life = machine.max_life.and_then(Hours::duration)?;
    let age = now.duration_since(machine.launched?).ok()?;
    if age <= life + GRACE {
        return None;
    }
    left(format!("it was to live {} at most, and is {} old", clock::words(life), clock::words(age)), month)
}

/// The machine that serves each name.
fn oldest(all: &[Machine]) -> BTreeMap<&str, &Machine> {
    let mut serving = BTreeMap::new();
    for machine in all.iter().filter(|machine| machine.state.is_alive()) {
        serving.entry(machine.name.as_str()).or_insert(machine);
    }
    serving
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::machines::Engine;

    fn machine(id: &str, name: &str, state: State) -> Machine {
        Machine {
            id: id.into(),
            name: name.parse().unwrap(),
            engine: Engine::Irp,
            state,
            reason: None,
            ipv4: None,
            ipv6: None,
            launched: Some(SystemTime::UNIX_EPOCH),
            instance_type: "t4g.nano".into(),
            place: None,
            spot: false,
            groups: Vec::new(),
            zone_id: None,
            by_pc: false,
            user: None,
            upstream_port: None,
            idle: None,
            max_life: "2".parse().ok(),
            owner: None,
        }
    }

    #[test]
    fn machines_that_are_stopped_too_many_or_too_old_are_left() {
        let all = [
            machine("i-0", "a.example", State::Terminated),
            machine("i-1", "a.example", State::Running),
            machine("i-2", "a.example", State::Pending),
            machine("i-3", "b.example", State::Running),
            machine("i-4", "b.example", State::Stopped),
            machine("i-5", "b.example", State::ShuttingDown),
        ];
        let left = |hours: u64| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(hours * 3600);
            let found = all.iter().filter_map(|machine| judge(machine, &all, now));
            found.map(|left| left.what.which().split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(left(1), ["i-2", "i-4"]);
        assert_eq!(left(3), ["i-1", "i-2", "i-3", "i-4"], "they have lived too long");
        let second = judge(&all[2], &all, SystemTime::UNIX_EPOCH).unwrap();
        assert!(
            second.why.starts_with("i-1 serves") && second.cost_usd_per_month == Some(7.36),
            "{second:?}"
        );
        let stopped = judge(&all[4], &all, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(stopped.cost_usd_per_month, Some(0.64));
    }
}
