//! What is told about a machine: as an object for programs, and as words for people.

use std::time::{Duration, SystemTime};

use irp_aws::ec2::State;
use irp_launch::{price, values::Hours};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::machines::{Engine, Machine};
use crate::clock;

/// A machine as programs get it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Portrait {
    /// Its public name.
    pub(crate) name: String,
    /// Where visitors find it.
    pub(crate) url: String,
    /// `i-…`.
    pub(crate) id: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped` or `other`.
    pub(crate) state: &'static str,
    /// Why it ended, in AWS's words.
    pub(crate) reason: Option<String>,
    /// Its public IPv4 address.
    pub(crate) address: Option<String>,
    /// Its IPv6 address.
    pub(crate) ipv6: Option<String>,
    /// `irp` or `caddy`.
    pub(crate) engine: &'static str,
    /// Such as `t4g.nano`.
    #[serde(rename = "type")]
    pub(crate) instance_type: String,
    /// The availability zone.
    pub(crate) zone: Option<String>,
    /// Whether AWS may take it away.
    pub(crate) spot: bool,
    /// When it was launched, RFC 3339 in UTC.
    pub(crate) since: Option<String>,
    /// How long ago that was.
    pub(crate) age_s: Option<u64>,
    /// Hours after its last session until it ends; 0 is never.
    pub(crate) idle_hours: Option<f64>,
    /// Hours after which it ends whatever happens; 0 is never.
    pub(crate) max_life_hours: Option<f64>,
    /// Who launched it.
    pub(crate) owner: Option<String>,
    /// US dollars so far, an estimate; `null` where the type has no price in the table, or the machine is gone.
    pub(crate) cost_usd: Option<f64>,
    /// US dollars an hour.
    pub(crate) cost_usd_per_hour: Option<f64>,
    /// The month of the price table.
    pub(crate) prices_of: &'static str,
}

impl Portrait {
    /// A machine at this moment.
    pub(crate) fn of(machine: &Machine, now: SystemTime) -> Self {
        let age = machine.launched.and_then(|launched| now.duration_since(launched).ok());
        let is_charged = is_charged(machine.state);
        let kind = &machine.instance_type;
        Self {
            name: machine.name.to_string(),
            url: format!("https://{}", machine.name),
            id: machine.id.clone(),
            state: state(machine.state),
            reason: machine.reason.clone(),
            address: machine.ipv4.map(|address| address.to_string()),
            ipv6: machine.ipv6.map(|address| address.to_string()),
            engine: match machine.engine {
                Engine::Irp => "irp",
                Engine::Caddy => "caddy",
            },
            instance_type: kind.clone(),
            zone: machine.place.clone(),
            spot: machine.spot,
            since: machine.launched.and_then(|at| OffsetDateTime::from(at).format(&Rfc3339).ok()),
            age_s: age.map(|age| age.as_secs()),
            idle_hours: machine.idle.map(Hours::number),
            max_life_hours: machine.max_life.map(Hours::number),
            owner: machine.owner.clone(),
            cost_usd: age.filter(|_| is_charged).and_then(|age| price::since(kind, age.as_secs())),
            cost_usd_per_hour: price::hour(kind).filter(|_| is_charged),
            prices_of: price::AS_OF,
        }
    }

    /// How old it is, `2 h 10 min`.
    pub(crate) fn age(&self) -> String {
        self.age_s.map_or_else(|| "–".to_owned(), |seconds| clock::words(Duration::from_secs(seconds)))
    }

    /// What it costs, `$0.02 · $0.010/h`.
    pub(crate) fn cost(&self) -> String {
        match (self.cost_usd, self.cost_usd_per_hour) {
            (Some(so_far), Some(hour)) => format!("{} · {}/h", dollars(so_far), dollars(hour)),
            _ => "–".to_owned(),
        }
    }

    /// The kind of machine, `t4g.nano spot`.
    pub(crate) fn kind(&self) -> String {
        format!("{}{}", self.instance_type, if self.spot { " spot" } else { "" })
    }
}

/// AWS's word for a state.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Running => "running",
        State::ShuttingDown => "shutting-down",
        State::Terminated => "terminated",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
        State::Other => "other",
    }
}

/// EC2 charges a machine from its start until it is told to end; of a stopped one, the disk only.
fn is_charged(state: State) -> bool {
    state.is_alive()
}

/// Cents and their tenths: the smallest machine costs one an hour.
pub(crate) fn dollars(amount: f64) -> String {
    if amount < 0.1 { format!("${amount:.3}") } else { format!("${amount:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            id: "i-1".into(),
            name: "alice.example.com".parse().unwrap(),
            engine: Engine::Irp,
            state: State::Running,
            reason: None,
            ipv4: Some([203, 0, 113, 7].into()),
            ipv6: None,
            launched: Some(SystemTime::UNIX_EPOCH),
            instance_type: "t4g.nano".into(),
            place: None,
            spot: true,
            groups: Vec::new(),
            zone_id: None,
            by_pc: false,
            user: None,
            upstream_port: None,
            idle: "0.5".parse().ok(),
            max_life: None,
            owner: None,
        }
    }

    #[test]
    fn age_and_cost_are_told_while_a_machine_costs() {
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(36_000);
        let told = Portrait::of(&machine(), later);
        assert_eq!((told.age().as_str(), told.cost().as_str()), ("10 h", "$0.10 · $0.010/h"));
        assert_eq!((told.kind().as_str(), told.url.as_str()), ("t4g.nano spot", "https://alice.example.com"));
        assert_eq!(told.since.as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(told.idle_hours, Some(0.5));
        let gone = Portrait::of(&Machine { state: State::Terminated, ..machine() }, later);
        assert_eq!((gone.cost().as_str(), gone.cost_usd), ("–", None));
        let rare = Portrait::of(&Machine { instance_type: "u-6tb1.metal".into(), ..machine() }, later);
        assert_eq!(rare.cost(), "–");
    }
}
