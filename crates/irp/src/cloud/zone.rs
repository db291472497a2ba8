//! The public zone in which names are made.

use super::account::{Account, explain};
use crate::error::{Failure, Kind};

/// A public hosted zone of Route 53.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    /// `Z…`.
    pub(crate) id: String,
    /// Its name, without a final dot.
    pub(crate) domain: String,
}

/// Finds the public zone of exactly this name.
///
/// # Errors
///
/// Of kind [`Kind::Cloud`], when there is none, only a private one, or several.
pub(crate) async fn find(account: &Account, domain: &str) -> Result<Zone, Failure> {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let zones = account.aws.route53().zones_named(&domain).await.map_err(|error| explain(&error))?;
    let (private, mut public): (Vec<_>, Vec<_>) = zones.into_iter().partition(|zone| zone.private);
    match (public.pop(), public.is_empty()) {
        (Some(zone), true) => Ok(Zone { id: zone.id, domain }),
        (Some(last), false) => {
            let ids: Vec<_> = public.iter().chain([&last]).map(|zone| zone.id.as_str()).collect();
            Err(several(&domain, &ids))
        }
        (None, _) if !private.is_empty() => Err(Failure::new(
            Kind::Cloud,
            format!("the zone {domain} is private: only networks of your account see its names"),
        )
        .hint("make a public one of the same name: irp setup --create-zone")),
        (None, _) => Err(none(account, &domain).await),
    }
}

fn several(domain: &str, ids: &[&str]) -> Failure {
    Failure::new(Kind::Cloud, format!("there are {} public zones named {domain}", ids.len()))
        .cause(format!("{}: only one of them is the one that the Internet asks", ids.join(", ")))
        .hint(format!("dig NS {domain}   tells which; compare with aws route53 get-hosted-zone --id …"))
        .hint("and delete the others")
}

/// There is none: perhaps the zone is that of a parent, and somebody wrote a longer name.
async fn none(account: &Account, domain: &str) -> Failure {
    let failure = Failure::new(
        Kind::Cloud,
        format!("there is no Route 53 zone named {domain} in account {}", account.id),
    );
    let parents = account.aws.route53().public_zones_of(domain).await.unwrap_or_default();
    let failure = match parents.first() {
        Some(parent) => failure.hint(format!("there is {}: is that the one you mean?", parent.name)),
        None => failure,
    };
    failure
        .hint("irp setup --create-zone   makes it, and tells what its parent has to delegate")
        .hint("or choose another account with --profile")
}
