//! Whether CAA records let an authority certify a name (RFC 8659, with the parameter of RFC 8657): pure but for the questions.

use std::net::SocketAddr;

use super::resolver::{Answer, Kind, Record, ResolveError, ask};

/// The word by which Let's Encrypt recognises itself.
pub(crate) const LETS_ENCRYPT: &str = "letsencrypt.org";

/// What the records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There are none: every authority may.
    Silent,
    /// They allow it.
    Allowed {
        /// Where they stand.
        at: String,
    },
    /// They forbid it.
    Forbidden {
        /// Where they stand.
        at: String,
        /// What they say, as in a zone file.
        records: Vec<String>,
    },
}

/// Asks for the records that count for `name`: its own, else those of the nearest parent that has any. `identities` are
/// the words by which the authority recognises itself.
///
/// # Errors
///
/// When the resolver gives no answer.
pub(crate) async fn verdict(
    server: SocketAddr,
    name: &str,
    identities: &[String],
    method: &str,
) -> Result<Verdict, ResolveError> {
    let mut at = name;
    loop {
        if let Answer::Records(records) = ask(server, at, Kind::Caa).await?
            && !records.is_empty()
        {
            return Ok(judge(at, &records, identities, method));
        }
        match at.split_once('.') {
            Some((_, parent)) => at = parent,
            None => return Ok(Verdict::Silent),
        }
    }
}

fn judge(at: &str, records: &[Record], identities: &[String], method: &str) -> Verdict {
    let properties = records.iter().filter_map(|record| match record {
        Record::Caa { critical, tag, value } => Some((*critical, tag.as_str(), value.as_str())),
        Record::Ns(_) => None,
    });
    let known = ["issue", "issuewild", "issuemail", "issuevmc", "iodef", "contactemail", "contactphone"];
    let mut issue = properties.clone().filter(|(_, tag, _)| *tag == "issue").peekable();
    let is_strange = properties.clone().any(|(critical, tag, _)| critical && !known.contains(&tag));
    let is_allowed = issue.peek().is_none() || issue.any(|(_, _, value)| allows(value, identities, method));
    if is_allowed && !is_strange {
        return Verdict::Allowed { at: at.to_owned() };
    }
    let records = properties
        .map(|(critical, tag, value)| format!("{} {tag} \"{value}\"", if critical { 128 } else { 0 }))
        .collect();
    Verdict::Forbidden { at: at.to_owned(), records }
}

/// `letsencrypt.org; validationmethods=dns-01,http-01`.
fn allows(value: &str, identities: &[String], method: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let is_it = |issuer: &str| identities.iter().any(|identity| issuer.eq_ignore_ascii_case(identity));
    if !parts.next().is_some_and(is_it) {
        return false;
    }
    parts.filter_map(|part| part.split_once('=')).all(|(key, list)| {
        !key.trim().eq_ignore_ascii_case("validationmethods")
            || list.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(method))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(values: &[(&str, &str)], method: &str) -> bool {
        let record = |(tag, value): &(&str, &str)| Record::Caa {
            critical: false,
            tag: (*tag).to_owned(),
            value: (*value).to_owned(),
        };
        let records: Vec<_> = values.iter().map(record).collect();
        let identities = [LETS_ENCRYPT.to_owned()];
        matches!(judge("a.example", &records, &identities, method), Verdict::Allowed { .. })
    }

    #[test]
    fn what_setup_writes_allows_dns_and_nothing_else() {
        let written = [("issue", "letsencrypt.org;validationmethods=dns-01"), ("issuewild", ";")];
        assert!(is_allowed(&written, "dns-01"));
        assert!(!is_allowed(&written, "tls-alpn-01"));
    }

    #[test]
    fn another_authority_or_none_at_all_forbids() {
        assert!(!is_allowed(&[("issue", "example.net")], "dns-01"));
        assert!(!is_allowed(&[("issue", ";")], "dns-01"));
        assert!(!is_allowed(&[("issue", "evil-letsencrypt.org")], "dns-01"));
        assert!(is_allowed(&[("issue", "example.net"), ("issue", "LetsEncrypt.org")], "dns-01"));
        assert!(is_allowed(&[("iodef", "mailto:x@example.com")], "dns-01"), "nothing is said of issuing");
        assert!(is_allowed(&[("issuewild", ";")], "dns-01"), "no wildcard is wanted");
    }

    #[test]
    fn an_authority_may_have_several_names_or_none() {
        let record = Record::Caa { critical: false, tag: "issue".into(), value: "pki.goog".into() };
        let is_allowed = |identities: &[&str]| {
            let identities: Vec<_> = identities.iter().map(|it| (*it).to_owned()).collect();
            matches!(
                judge("a", std::slice::from_ref(&record), &identities, "dns-01"),
                Verdict::Allowed { .. }
            )
        };
        assert!(is_allowed(&["ca.example", "pki.goog"]) && !is_allowed(&["ca.example"]) && !is_allowed(&[]));
    }

    #[test]
    fn a_critical_property_that_nobody_knows_forbids() {
        let records = [Record::Caa { critical: true, tag: "future".into(), value: "x".into() }];
        let identities = [LETS_ENCRYPT.to_owned()];
        let verdict = judge("a", &records, &identities, "dns-01");
        let Verdict::Forbidden { records, .. } = verdict else { panic!("allowed") };
        assert_eq!(records, ["128 future \"x\""]);
    }
}
