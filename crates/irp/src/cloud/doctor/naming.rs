//! The name: is the zone the one that the Internet asks, and may a certificate be issued.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use irp_edge::certs::{SystemClock, directory::caa_identities, http::DirectoryClient};
use irp_wire::causes::in_full;

use super::{Check, Subject};
use crate::cloud::{
    account::Account,
    caa::{self, LETS_ENCRYPT, Verdict},
    resolver::{self, Answer, Kind, Record, ResolveError},
    zone::Zone,
};

/// Resolvers that were told that a name does not exist may remember it for so long without anybody being disturbed.
const FORGETTING_MAX: u32 = 60;

fn server(named: Option<SocketAddr>) -> Result<SocketAddr, ResolveError> {
    named.map_or_else(resolver::of_system, Ok)
}

/// Whether the parent zone names the servers that Route 53 gave this one; a resolver is asked, the system's if none is named.
pub(crate) async fn delegation(account: &Account, resolver: Option<SocketAddr>, zone: &Zone) -> Check {
    const CHECK: &str = "delegation";
    let details = match account.aws.route53().zone(&zone.id).await {
        Ok(details) => details,
        Err(error) => return Check::unseen(CHECK, &error),
    };
    let wanted: BTreeSet<String> = details.name_servers.into_iter().collect();
    let asked = async {
        let server = server(resolver)?;
        Ok::<_, ResolveError>((server, resolver::ask(server, &zone.domain, Kind::Ns).await?))
    };
    let (server, answer) = match asked.await {
        Ok(answered) => answered,
        Err(error) => {
            return Check::unknown(CHECK, format!("cannot be looked at: {}", in_full(&error)))
                .mend("ask another name server: irp doctor --resolver ADDRESS");
        }
    };
    judge(zone, &wanted, server, &answer)
}

fn judge(zone: &Zone, wanted: &BTreeSet<String>, server: SocketAddr, answer: &Answer) -> Check {
    const CHECK: &str = "delegation";
    let domain = &zone.domain;
    let parent = domain.split_once('.').map_or("", |(_, parent)| parent);
    let list = |servers: &BTreeSet<String>| servers.iter().cloned().collect::<Vec<_>>().join(", ");
    let delegate = format!("whoever runs {parent} has to add NS records for {domain}: {}", list(wanted));
    let records = match answer {
        Answer::Records(records) => records,
        Answer::NoSuchName => {
            return Check::bad(CHECK, format!("{domain} is not delegated: {parent} does not know it"))
                .mend(delegate);
        }
        Answer::Failed => {
            return Check::bad(CHECK, format!("{server} finds nobody who answers for {domain}"))
                .mend(delegate);
        }
    };
    let servers: BTreeSet<String> = records
        .iter()
        .filter_map(|record| match record {
            Record::Ns(name) => Some(name.clone()),
            Record::Caa { .. } => None,
        })
        .collect();
    if servers.is_empty() {
        return Check::bad(CHECK, format!("{domain} is not delegated: it has no name servers"))
            .mend(delegate);
    }
    if servers == *wanted {
        return Check::good(CHECK, format!("{domain} is delegated to {}", list(wanted)));
    }
    if servers.is_subset(wanted) {
        return Check::good(
            CHECK,
            format!("{domain} is delegated to some of its servers: {}", list(&servers)),
        );
    }
    let text = format!("{domain} is delegated elsewhere, to {}, and not to zone {}", list(&servers), zone.id);
    Check::bad(CHECK, text)
        .mend(delegate)
        .mend("or there is another zone of this name, in another account, that is the right one")
}

/// How long resolvers remember that a name was not there.
pub(super) async fn forgetting(subject: &Subject<'_>, zone: &Zone) -> Check {
    const CHECK: &str = "memory";
    let soa = match subject.account.aws.route53().record_set(&zone.id, &zone.domain, "SOA").await {
        Ok(Some(soa)) => soa,
        Ok(None) => return Check::unknown(CHECK, "the zone has no SOA record"),
        Err(error) => return Check::unseen(CHECK, &error),
    };
    let minimum = soa.values.first().and_then(|value| value.split_whitespace().last()?.parse::<u32>().ok());
    // RFC 2308, section 5.
    let seconds = minimum.unwrap_or(soa.ttl).min(soa.ttl);
    if seconds <= FORGETTING_MAX {
        return Check::good(CHECK, format!("a name that was not there is asked for again after {seconds} s"));
    }
    Check::unknown(
        CHECK,
        format!("who asks while the machine is away is told for {seconds} s that there is no such name"),
    )
    .mend(format!("lower the TTL of the SOA record of {} to {FORGETTING_MAX}, if that disturbs", zone.domain))
}

/// Who is to issue certificates.
struct Issuer {
    /// How people call it.
    told: String,
    /// The names by which it knows itself in CAA records; why they are not known.
    identities: Result<Vec<String>, String>,
    is_lets_encrypt: bool,
}

impl Issuer {
    /// Let's Encrypt, or the authority of the settings, which is asked for its names.
    async fn of(subject: &Subject<'_>) -> Self {
        let Some(directory) = &subject.settings.acme_directory else {
            let identities = Ok(vec![LETS_ENCRYPT.to_owned()]);
            return Self { told: "Let's Encrypt".to_owned(), identities, is_lets_encrypt: true };
        };
        let url = directory.value.as_str();
        let identities = match DirectoryClient::new(None, Arc::new(SystemClock)) {
            Ok(http) => caa_identities(url, &http).await.map_err(|error| in_full(&error)),
            Err(error) => Err(in_full(&error)),
        };
        let identities = identities.and_then(|names| match names.is_empty() {
            true => Err("its directory does not tell (RFC 8555, caaIdentities)".to_owned()),
            false => Ok(names),
        });
        Self { told: format!("the authority at {url}"), identities, is_lets_encrypt: false }
    }
}

/// Whether the authority may issue for the name.
pub(super) async fn caa(subject: &Subject<'_>) -> Check {
    const CHECK: &str = "caa";
    let name = subject.settings.name.as_str();
    let is_caddy = matches!(subject.settings.engine.value, irp_launch::settings::Engine::Caddy(_));
    let method = if is_caddy || !subject.has_role { "tls-alpn-01" } else { "dns-01" };
    let issuer = Issuer::of(subject).await;
    let Issuer { told, identities, is_lets_encrypt } = &issuer;
    let names = identities.as_deref().unwrap_or_default();
    let verdict = async { caa::verdict(server(subject.resolver)?, name, names, method).await };
    match (verdict.await, identities) {
        (Ok(Verdict::Silent), _) => Check::good(CHECK, "no CAA records: every authority may issue"),
        (Ok(Verdict::Allowed { at }), _) => Check::good(CHECK, format!("{at} allows {told} with {method}")),
        (Ok(Verdict::Forbidden { at, records }), Err(why)) => {
            let text =
                format!("{at} says {}, and the CAA name of {told} is not known: {why}", records.join(", "));
            Check::unknown(CHECK, text)
                .mend("compare that with the name which the authority documents for CAA records")
        }
        (Ok(Verdict::Forbidden { at, records }), Ok(names)) => {
            let text = format!("{at} forbids a certificate of {told} by {method}: {}", records.join(", "));
            let check = Check::bad(CHECK, text);
            if at == name {
                return check.mend(format!("remove the CAA records of {name}, then: irp setup"));
            }
            let name_of_it = names.first().map_or(LETS_ENCRYPT, String::as_str);
            let check = check.mend(format!("add to {at}: CAA 0 issue \"{name_of_it}\""));
            if *is_lets_encrypt {
                check.mend(format!("or give {name} CAA records of its own, which count instead: irp setup"))
            } else {
                check.mend(format!("or give {name} such a record of its own, which counts instead"))
            }
        }
        (Err(error), _) => Check::unknown(CHECK, format!("cannot be looked at: {}", in_full(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delegation_is_right_elsewhere_or_missing() {
        let zone = Zone { id: "Z1".into(), domain: "proxy.example.com".into() };
        let wanted: BTreeSet<String> = ["ns-1.awsdns-1.com", "ns-2.awsdns-2.net"].map(str::to_owned).into();
        let of = |names: &[&str]| {
            Answer::Records(names.iter().map(|name| Record::Ns((*name).to_owned())).collect())
        };
        let server = ([192, 0, 2, 53], 53).into();
        let judged = |answer: &Answer| judge(&zone, &wanted, server, answer);
        assert_eq!(judged(&of(&["ns-2.awsdns-2.net", "ns-1.awsdns-1.com"])).ok, Some(true));
        assert_eq!(judged(&of(&["ns-2.awsdns-2.net"])).ok, Some(true));
        let elsewhere = judged(&of(&["ns.example.net", "ns-1.awsdns-1.com"]));
        assert!(elsewhere.ok == Some(false) && elsewhere.text.contains("ns.example.net"), "{elsewhere:?}");
        for missing in [Answer::NoSuchName, Answer::Failed, of(&[])] {
            let check = judged(&missing);
            assert_eq!(check.ok, Some(false));
            assert!(
                check.mend[0].contains("whoever runs example.com") && check.mend[0].contains("awsdns-1"),
                "{check:?}"
            );
        }
    }
}
