//! irp's machines in the account, found by their tags: there is no other list of them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::SystemTime,
};

use irp_aws::ec2::{Filter, Instance, State};
use irp_launch::{tags, values::Hours};
use irp_wire::name::Hostname;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::account::{Account, explain};
use crate::{
    cli::launch::Settings,
    config::launch,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// A machine that irp launched, as AWS and its tags describe it.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "each command reads the part that it needs")]
pub(crate) struct Machine {
    /// `i-…`.
    pub(crate) id: String,
    /// Its public name.
    pub(crate) name: Hostname,
    /// What runs on it, which tells how to connect.
    pub(crate) engine: Engine,
    /// Where in its life it is.
    pub(crate) state: State,
    /// Why it ended, in AWS's words.
    pub(crate) reason: Option<String>,
    /// Its public IPv4 address, once it has one.
    pub(crate) ipv4: Option<Ipv4Addr>,
    /// Its first IPv6 address.
    pub(crate) ipv6: Option<Ipv6Addr>,
    /// When it was launched.
    pub(crate) launched: Option<SystemTime>,
    /// Such as `t4g.nano`.
    pub(crate) instance_type: String,
    /// Such as `ap-northeast-1a`.
    pub(crate) place: Option<String>,
    /// Whether AWS may take it away again.
    pub(crate) spot: bool,
    /// Its security groups.
    pub(crate) groups: Vec<String>,
    /// The hosted zone of its record, `Z…`.
    pub(crate) zone_id: Option<String>,
    /// Whether the PC sets its record, since it has no role.
    pub(crate) by_pc: bool,
    /// The account of its image that people log in to.
    pub(crate) user: Option<String>,
    /// Where forwards of ssh come out on it.
    pub(crate) upstream_port: Option<u16>,
    /// How long it waits after its last session.
    pub(crate) idle: Option<Hours>,
    /// How long it lives at most.
    pub(crate) max_life: Option<Hours>,
    /// The ARN of who launched it.
    pub(crate) owner: Option<String>,
}

/// What runs on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// irp's own edge.
    Irp,
    /// Caddy, reached through the machine's sshd.
    Caddy,
}

impl Machine {
    /// A machine of EC2, if its tags say that it is irp's and for which name.
    pub(crate) fn of(instance: Instance) -> Option<Self> {
        let tag = |key: &str| instance.tags.get(key).cloned();
        let hours = |key: &str| tag(key)?.parse().ok();
        let launched = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from);
        Some(Self {
            name: tag(tags::NAME)?.parse().ok()?,
            engine: if tag(tags::ENGINE).as_deref() == Some("caddy") { Engine::Caddy } else { Engine::Irp },
            zone_id: tag(tags::ZONE),
            by_pc: tag(tags::RECORD).as_deref() == Some(tags::BY_PC),
            user: tag(tags::USER),
            upstream_port: tag(tags::UPSTREAM_PORT).and_then(|port| port.parse().ok()),
            idle: hours(tags::IDLE_HOURS),
            max_life: hours(tags::MAX_LIFE_HOURS),
            owner: tag(tags::OWNER),
            launched: instance.launch_time.as_deref().and_then(launched),
            id: instance.id,
            state: instance.state,
            reason: instance.state_reason,
            ipv4: instance.public_ip,
            ipv6: instance.ipv6,
            instance_type: instance.instance_type,
            place: instance.availability_zone,
            spot: instance.spot,
            groups: instance.security_groups,
        })
    }

    /// Where it is dialled: never by its name, which a resolver may still know at another address.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.ipv4.map(IpAddr::from).or(self.ipv6.map(IpAddr::from))
    }

    /// Notes that AWS has given it another address.
    pub(crate) fn moved_to(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.ipv4 = Some(address),
            IpAddr::V6(address) => (self.ipv4, self.ipv6) = (None, Some(address)),
        }
    }

    /// All of its public addresses.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.ipv4.map(IpAddr::from).into_iter().chain(self.ipv6.map(IpAddr::from)).collect()
    }
}

/// All machines of a name, the oldest first, those that are gone for less than an hour among them.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn named(account: &Account, name: &Hostname) -> Result<Vec<Machine>, Failure> {
    list(account, Filter::new(format!("tag:{}", tags::NAME), [name.as_str()])).await
}

/// All of irp's machines in the region, ordered as [`named`].
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn all(account: &Account) -> Result<Vec<Machine>, Failure> {
    list(account, Filter::new("tag-key", [tags::NAME])).await
}

/// Whether anything of the account in this region has a public address: a machine, whoever launched it, or an Elastic IP.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn has_address(account: &Account, address: IpAddr) -> Result<bool, Failure> {
    let ec2 = account.aws.ec2();
    let filter =
        if address.is_ipv4() { "ip-address" } else { "network-interface.ipv6-addresses.ipv6-address" };
    let filter = Filter::new(filter, [address.to_string()]);
    let machines = ec2.instances_where(&[filter]).await.map_err(|error| explain(&error))?;
    if machines.iter().any(|machine| machine.state != State::Terminated) {
        return Ok(true);
    }
    let IpAddr::V4(address) = address else { return Ok(false) };
    let elastic = ec2.addresses(&[]).await.map_err(|error| explain(&error))?;
    Ok(elastic.iter().any(|it| it.public_ip == address))
}

async fn list(account: &Account, filter: Filter) -> Result<Vec<Machine>, Failure> {
    let found = account.aws.ec2().instances_where(&[filter]).await.map_err(|error| explain(&error))?;
    let mut machines: Vec<_> = found.into_iter().filter_map(Machine::of).collect();
    // By id where two were launched in one second, so that everybody sees the same order.
    machines.sort_by(|one, other| (one.launched, &one.id).cmp(&(other.launched, &other.id)));
    Ok(machines)
}

/// The machine that serves a name: the oldest that lives, so that all who ask get the same.
///
/// # Errors
///
/// When there is none, or AWS refuses or is not reached.
pub(crate) async fn serving(account: &Account, name: &Hostname) -> Result<Machine, Failure> {
    let machines = named(account, name).await?;
    machines.into_iter().find(|machine| machine.state.is_alive()).ok_or_else(|| {
        let region = account.aws.region();
        Failure::new(Kind::User, format!("no machine serves {name} in {region} (account {})", account.id))
            .hint("another region or account: --region, --profile")
    })
}

/// The name that was typed: whole, as a URL, or its first label alone; nothing is the name of the settings.
///
/// # Errors
///
/// When it is no name, or settings that it needs are missing or wrong.
pub(crate) fn name(
    typed: Option<&str>,
    flags: &Settings,
    environment: &Environment,
    ui: &Ui,
) -> Result<Hostname, Failure> {
    let zone = || launch::zone(flags, environment, ui);
    let whole = match typed.map(bare) {
        Some(typed) if typed.contains('.') => typed,
        Some(label) => format!("{label}.{}", zone()?),
        None => format!("{}.{}", launch::host(flags, environment, ui)?.0, zone()?),
    };
    whole.parse().map_err(|error| {
        Failure::new(Kind::User, format!("`{}` is no name of a machine", typed.unwrap_or(&whole)))
            .because(&error)
    })
}

fn bare(typed: &str) -> String {
    typed.trim_start_matches("https://").trim_end_matches(['/', '.']).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        let tags = [(tags::NAME, "alice.example.com"), (tags::ENGINE, "caddy"), (tags::IDLE_HOURS, "0.5")];
        Instance {
            id: "i-0123456789abcdef0".into(),
            image_id: "ami-1".into(),
            instance_type: "t4g.nano".into(),
            architecture: None,
            state: State::Running,
            state_reason: None,
            public_ip: None,
            ipv6: Some(Ipv6Addr::LOCALHOST),
            subnet_id: None,
            vpc_id: None,
            availability_zone: None,
            launch_time: Some("1970-01-01T00:00:10.000Z".into()),
            instance_profile: None,
            security_groups: Vec::new(),
            spot: false,
            client_token: None,
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }

    #[test]
    fn its_tags_tell_what_a_machine_is_for() {
        let machine = Machine::of(instance()).unwrap();
        assert_eq!((machine.name.as_str(), machine.engine), ("alice.example.com", Engine::Caddy));
        assert_eq!(machine.idle.map(Hours::seconds), Some(1800));
        let since = machine.launched.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 10);
        assert_eq!(machine.address(), Some(Ipv6Addr::LOCALHOST.into()));
        assert!(Machine::of(Instance { tags: [].into(), ..instance() }).is_none(), "a stranger's");
    }

    #[test]
    fn a_name_may_be_typed_as_people_have_it_at_hand() {
        assert_eq!(bare("https://Alice.example.com/"), "alice.example.com");
        assert_eq!(bare("alice.example.com."), "alice.example.com");
    }
}
