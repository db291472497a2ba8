//! The address records of a name, as far as the PC reads and changes them.
//!
//! A machine with a role keeps its records itself. The PC looks at them, takes away what a machine leaves behind, and sets
//! them where the machine has no role.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use irp_aws::route53::RecordSet;

use super::{
    account::{Account, explain},
    machines,
};
use crate::{
    error::{Failure, Kind},
    machine::zone::{Named, Zone, ZoneError},
};

/// Both types of address records.
const KINDS: [&str; 2] = ["A", "AAAA"];

/// How long resolvers may remember an address, in seconds: what the edge writes as well.
pub(crate) const TTL: u32 = 60;

/// The records of one name in one zone.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    account: &'a Account,
    zone_id: String,
    name: String,
}

impl<'a> Records<'a> {
    /// The records of `name` in the zone with this id.
    pub(crate) fn of(account: &'a Account, zone_id: &str, name: &str) -> Self {
        Self { account, zone_id: zone_id.to_owned(), name: name.to_owned() }
    }

    /// The same in the public zone that the name is in; `None` when the account has none.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub(crate) async fn found(account: &'a Account, name: &str) -> Result<Option<Self>, Failure> {
        let zones = account.aws.route53().public_zones_of(name).await.map_err(|error| explain(&error))?;
        Ok(zones.first().map(|zone| Self::of(account, &zone.id, name)))
    }

    /// What there is, A before AAAA.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub(crate) async fn read(&self) -> Result<Vec<RecordSet>, Failure> {
        let route53 = self.account.aws.route53();
        let mut found = Vec::new();
        for kind in KINDS {
            let set = route53.record_set(&self.zone_id, &self.name, kind).await;
            found.extend(set.map_err(|error| explain(&error))?);
        }
        Ok(found)
    }

    /// Points the name at these addresses, whatever it held, and waits until all name servers know. For machines without
    /// a role, whose records nobody else sets.
    ///
    /// # Errors
    ///
    /// When there is no address, the name has an alias or a routing policy, or AWS refuses or is not reached.
    pub(crate) async fn point(&self, ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) -> Result<(), Failure> {
        if ipv4.is_none() && ipv6.is_none() {
            return Err(Failure::new(
                Kind::Cloud,
                format!("the machine of {} has no public address", self.name),
            )
            .hint("is its subnet a public one? name another with --subnet"));
        }
        let zone = self.zone();
        let addresses = [ipv4.map(|address| address.to_string()), ipv6.map(|address| address.to_string())];
        let mut changes = Vec::new();
        for (kind, address) in KINDS.into_iter().zip(addresses) {
            match address {
                Some(address) => {
                    let change = zone.point(&self.name, kind, TTL, &address).await;
                    changes.extend(change.map_err(|error| failed(&error))?);
                }
                // What a machine before this one has left would send half of the visitors to nobody.
                None => zone.clear(&self.name, kind).await.map_err(|error| failed(&error))?,
            }
        }
        for change in changes {
            zone.settle(&change).await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Takes away the records that hold one of these addresses and nothing else; those that are gone.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub(crate) async fn withdraw(&self, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Failure> {
        let zone = self.zone();
        let mut gone = Vec::new();
        for address in addresses {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            match zone.withdraw(&self.name, kind, &address.to_string()).await {
                Ok(true) => gone.push(*address),
                // Somebody else's by now.
                Ok(false) | Err(ZoneError::Special { .. }) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(gone)
    }

    /// Addresses to which the name leads, as irp writes records, and which nothing of the account has in this region: a
    /// machine that is gone may have left them. A machine in another region or account would look the same.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub(crate) async fn orphans(&self) -> Result<Vec<IpAddr>, Failure> {
        let mut orphans = Vec::new();
        for set in self.read().await? {
            if let Some(address) = address(&set)
                && !machines::has_address(self.account, address).await?
            {
                orphans.push(address);
            }
        }
        Ok(orphans)
    }

    fn zone(&self) -> Zone {
        Zone::new(self.account.aws.route53(), Named::Id(self.zone_id.clone()))
    }
}

/// The address in a record that could be one of irp's: plain, with one value and irp's time to live. Others are
/// somebody else's work.
pub(crate) fn address(set: &RecordSet) -> Option<IpAddr> {
    match set.values.as_slice() {
        [value] if !set.special && set.ttl == TTL => value.parse().ok(),
        _ => None,
    }
}

fn failed(error: &ZoneError) -> Failure {
    match error {
        ZoneError::Call(error) => explain(error),
        error => Failure::new(Kind::Cloud, error.to_string()),
    }
}
