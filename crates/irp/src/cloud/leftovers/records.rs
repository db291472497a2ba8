//! Records that lead to machines which are gone.

use std::collections::BTreeSet;

use irp_aws::{ec2::Filter, route53::RecordSet};
use irp_launch::{setup::CAA, tags};

use super::{Leftover, What};
use crate::{
    cloud::{
        account::{Account, explain},
        machines::{self, Machine},
        record,
    },
    error::Failure,
};

/// What the names of challenges begin with (RFC 8555, section 8.4).
const CHALLENGE: &str = "_acme-challenge.";

/// The public names that irp knows in this region, by the tags of machines and launch templates.
pub(super) async fn names(account: &Account, all: &[Machine]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = all.iter().map(|machine| machine.name.to_string()).collect();
    let filter = [Filter::new("tag-key", [tags::NAME])];
    // Without them the zones themselves tell the most.
    let templates = account.aws.ec2().launch_templates_where(&filter).await.unwrap_or_default();
    names.extend(templates.into_iter().filter_map(|template| template.tags.get(tags::NAME).cloned()));
    names
}

/// Finds records of these names, and of all that carry irp's CAA records, which lead to nothing of the account.
pub(super) async fn find(
    account: &Account,
    all: &[Machine],
    names: BTreeSet<String>,
    domain: Option<&str>,
) -> Result<Vec<Leftover>, Failure> {
    let mut left = Vec::new();
    for zone_id in zones(account, all, &names, domain).await? {
        let sets = account.aws.route53().record_sets(&zone_id).await.map_err(|error| explain(&error))?;
        for set in sets.iter().filter(|set| is_known(set, &sets, &names)) {
            left.extend(judge(account, all, &zone_id, set).await?);
        }
    }
    Ok(left)
}

/// The zones of the names, each once.
async fn zones(
    account: &Account,
    all: &[Machine],
    names: &BTreeSet<String>,
    domain: Option<&str>,
) -> Result<BTreeSet<String>, Failure> {
    let mut zones: BTreeSet<String> = all.iter().filter_map(|machine| machine.zone_id.clone()).collect();
    let route53 = account.aws.route53();
    // Names that differ in their first label are asked for once.
    let parents = names.iter().filter_map(|name| name.split_once('.')).map(|(_, parent)| parent);
    for domain in parents.chain(domain).collect::<BTreeSet<_>>() {
        let found = route53.public_zones_of(domain).await.map_err(|error| explain(&error))?;
        zones.extend(found.into_iter().map(|zone| zone.id));
    }
    Ok(zones)
}

/// Whether a set belongs to a name of irp's.
fn is_known(set: &RecordSet, sets: &[RecordSet], names: &BTreeSet<String>) -> bool {
    let name = set.name.strip_prefix(CHALLENGE).unwrap_or(&set.name);
    let is_marked = |other: &RecordSet| {
        other.name == name
            && other.kind == "CAA"
            && CAA.iter().all(|value| other.values.iter().any(|it| it == value))
    };
    names.contains(name) || sets.iter().any(is_marked)
}

async fn judge(
    account: &Account,
    all: &[Machine],
    zone_id: &str,
    set: &RecordSet,
) -> Result<Option<Leftover>, Failure> {
    let left = |what, why: &str| Some(Leftover { what, why: why.to_owned(), cost_usd_per_month: Some(0.0) });
    let zone_id = zone_id.to_owned();
    if let Some(name) = set.name.strip_prefix(CHALLENGE) {
        let is_in_use = all.iter().any(|machine| machine.state.is_alive() && machine.name.as_str() == name);
        let is_ours = set.kind == "TXT" && set.ttl == record::TTL && !set.special && !is_in_use;
        let what = What::Challenge { zone_id, name: set.name.clone() };
        return Ok(left(what, "no machine of the name is there that could order").filter(|_| is_ours));
    }
    let Some(value) = record::address(set) else { return Ok(None) };
    if machines::has_address(account, value).await? {
        return Ok(None);
    }
    let what = What::Record { zone_id, name: set.name.clone(), value };
    let why = format!("nothing of this account has this address in {}", account.aws.region());
    Ok(left(what, &why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_irp_knows_or_has_marked_are_looked_at() {
        let names = BTreeSet::from(["a.example".to_owned()]);
        let mark = RecordSet::new("b.example", "CAA", 300, CAA);
        let set = |name: &str| RecordSet::new(name, "A", 60, ["192.0.2.1"]);
        let sets =
            [mark, set("a.example"), set("b.example"), set("c.example"), set("_acme-challenge.b.example")];
        let known: Vec<bool> = sets.iter().map(|set| is_known(set, &sets, &names)).collect();
        assert_eq!(known, [true, true, true, false, true]);
    }
}
