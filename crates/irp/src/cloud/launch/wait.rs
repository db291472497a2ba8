//! Following a machine from its order until it can be reached, and what became of it where it cannot.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use irp_aws::{
    Error, Kind as Refusal,
    ec2::{Instance, State},
};
use irp_launch::ending::Ending;
use tokio::time::{Instant, sleep};

use crate::{
    cloud::account::{Account, explain},
    error::{Failure, Kind},
};

/// How often the machine is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a machine may be unknown behind its order.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);

/// How long it may take to run; it takes ten seconds as a rule.
const RUNS_WITHIN: Duration = Duration::from_secs(300);

/// How long it may run without an address.
const ADDRESS_WITHIN: Duration = Duration::from_secs(30);

/// What a look shows.
#[derive(Debug)]
pub(crate) enum Seen {
    /// It is or will be running.
    Alive(Box<Instance>),
    /// It is ending or gone.
    Gone(Ending),
}

/// Looks at a machine once. One that AWS does not know (any more) is gone.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn look(account: &Account, id: &str) -> Result<Seen, Error> {
    match account.aws.ec2().instances(&[id]).await {
        Ok(found) => Ok(match found.into_iter().next() {
            Some(machine) if machine.state.is_alive() => Seen::Alive(Box::new(machine)),
            Some(machine) => Seen::Gone(Ending::of(machine.state_reason.as_deref())),
            None => Seen::Gone(Ending::Forgotten),
        }),
        Err(error) if error.kind() == Refusal::NotFound => Ok(Seen::Gone(Ending::Forgotten)),
        Err(error) => Err(error),
    }
}

/// Waits until the machine runs and has an address.
///
/// # Errors
///
/// When AWS refuses or is not reached, or it takes unreasonably long.
pub(crate) async fn runs(account: &Account, id: &str) -> Result<Seen, Failure> {
    let began = Instant::now();
    let mut running_since = None;
    loop {
        let seen = look(account, id).await.map_err(|error| explain(&error))?;
        match &seen {
            // What was ordered a moment ago may be unknown to the next call.
            Seen::Gone(Ending::Forgotten) if began.elapsed() < KNOWN_WITHIN => {}
            Seen::Gone(_) => return Ok(seen),
            Seen::Alive(machine) if machine.state == State::Running => {
                if address(machine).is_some() {
                    return Ok(seen);
                }
                let since: Instant = *running_since.get_or_insert_with(Instant::now);
                if since.elapsed() > ADDRESS_WITHIN {
                    return Err(Failure::new(Kind::Cloud, format!("{id} runs, and has no public address"))
                        .hint("its subnet gives none: name a public one with --subnet, or attach an address with --eip")
                        .hint("it costs until it is ended: irp down"));
                }
            }
            Seen::Alive(_) if began.elapsed() > RUNS_WITHIN => {
                return Err(Failure::new(Kind::Cloud, format!("{id} was ordered, and does not come to run"))
                    .hint("irp up   again waits on; the console of AWS may tell why"));
            }
            Seen::Alive(_) => {}
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The address at which its edge is dialled.
pub(crate) fn address(machine: &Instance) -> Option<IpAddr> {
    machine.public_ip.map(IpAddr::from).or(machine.ipv6.map(IpAddr::from))
}

/// Whether the record of a name holds this address at Route 53.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn is_in_record(
    account: &Account,
    zone_id: &str,
    name: &str,
    address: IpAddr,
) -> Result<bool, Error> {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    let set = account.aws.route53().record_set(zone_id, name, kind).await?;
    let holds = |value: &String| value.parse::<IpAddr>().is_ok_and(|value| value == address);
    Ok(set.is_some_and(|set| set.values.iter().any(holds)))
}

/// An Elastic IP address that is to be the machine's: attached, unless it is already.
///
/// # Errors
///
/// When there is none, or it is another machine's: an address is never taken away from somebody.
pub(crate) async fn attach(account: &Account, allocation: &str, machine: &str) -> Result<Ipv4Addr, Failure> {
    let found = free_address(account, allocation, Some(machine)).await?;
    if found.instance_id.as_deref() == Some(machine) {
        return Ok(found.public_ip);
    }
    let ec2 = account.aws.ec2().settling(ATTACHED_WITHIN);
    let attached = ec2.associate_address(allocation, machine, false).await;
    attached.map_err(|error| explain(&error))?;
    Ok(found.public_ip)
}

/// A machine that runs since a second may not take an address yet.
const ATTACHED_WITHIN: Duration = Duration::from_secs(30);

/// The Elastic IP address of this allocation, if it is free, or attached to `machine`.
///
/// # Errors
///
/// When there is none, or it is another machine's.
pub(crate) async fn free_address(
    account: &Account,
    allocation: &str,
    machine: Option<&str>,
) -> Result<irp_aws::ec2::Address, Failure> {
    let absent = || crate::cloud::setup::absent("Elastic IP address", allocation, account);
    let found = match account.aws.ec2().addresses(&[allocation]).await {
        Ok(found) => found.into_iter().next().ok_or_else(absent)?,
        Err(error) if error.kind() == Refusal::NotFound => return Err(absent()),
        Err(error) => return Err(explain(&error)),
    };
    let is_ours = found.instance_id.is_some() && found.instance_id.as_deref() == machine;
    if found.association_id.is_some() && !is_ours {
        let by = found.instance_id.as_deref().unwrap_or("something else");
        return Err(Failure::new(Kind::Cloud, format!("{} is attached to {by} already", found.public_ip))
            .hint("irp takes no address away from a machine: detach it, or name another allocation"));
    }
    Ok(found)
}
