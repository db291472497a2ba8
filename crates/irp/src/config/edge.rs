//! From `edge.toml` to what the edge runs with.

#[cfg_attr(not(target_os = "linux"), path = "edge/sshd/elsewhere.rs")]
mod sshd;

use std::{fs, path::Path, sync::Arc};

use irp_edge::{
    certs::{
        AcmeConfig, Certificates, Challenge as Proof, Dns, HttpTokens, LETS_ENCRYPT, LETS_ENCRYPT_STAGING,
        Names,
    },
    config::{CertificateSource, EdgeConfig, Host as HostRules},
    http::access,
    idle::IdleAfter,
    keys::{Grant, Keys},
    power::Power,
};

use super::{
    edge_file::{Acme, CertificateMode, Challenge, Directory, EdgeFile, Host, Key, OnEnd},
    policies,
};
use crate::{
    authority,
    dns_hook::DnsHook,
    environment::Environment,
    error::{Failure, Kind},
};

/// Makes the edge's configuration of a file that was checked. `zone` writes the records of dns-01 where no program is
/// named for that.
///
/// # Errors
///
/// When something that the file names is missing or wrong.
pub(crate) fn from_file(
    file: EdgeFile,
    table: &Arc<Certificates>,
    environment: &Environment,
    zone: Option<Arc<dyn Dns>>,
) -> Result<EdgeConfig, Failure> {
    let certificates = certificates(&file, table, environment, zone)?;
    let ssh = file.sshd.as_ref().map(|settings| sshd::way(settings, &file)).transpose()?;
    let idle_after = IdleAfter::from_hours(file.idle.hours)
        .map_err(|error| Failure::new(Kind::Config, "[idle] hours is wrong").because(&error))?;
    let power = match file.idle.on_end {
        OnEnd::Exit => Power::Exit,
        OnEnd::File(path) => Power::File(path),
    };
    let limits = file.limits.public();
    // A delivery waits for its answer as every other request does.
    let inbox = file.inbox.settings(limits.response_head);
    Ok(EdgeConfig {
        listen: file.listen,
        http_listen: file.http_listen,
        metrics_listen: file.metrics_listen.map(|listen| listen.0),
        public_port: None,
        hosts: file.hosts.into_iter().map(rules).collect::<Result<_, _>>()?,
        keys: keys(file.keys),
        certificates,
        state: file.state_dir,
        sessions: file.limits.sessions(),
        drain: file.limits.drain(),
        limits,
        ssh,
        inbox,
        idle_after,
        power,
    })
}

/// The keys of a file.
pub(crate) fn keys(file: Vec<Key>) -> Keys {
    Keys::new(file.into_iter().map(grant).collect())
}

fn grant(key: Key) -> Grant {
    Grant { key: key.public.key, names: key.names, comment: key.public.comment }
}

fn rules(host: Host) -> Result<HostRules, Failure> {
    let policies = policies::for_host(&host)?;
    let users = host.basic_auth.iter().filter_map(|hash| access::User::from_digest(&hash.user, hash.digest));
    let allowed = host.allow.into_iter().map(|network| network.0).collect();
    let access = access::Access::new(allowed, users.collect());
    Ok(HostRules { name: host.name, aliases: Vec::new(), access, policies })
}

fn certificates(
    file: &EdgeFile,
    table: &Arc<Certificates>,
    environment: &Environment,
    zone: Option<Arc<dyn Dns>>,
) -> Result<CertificateSource, Failure> {
    let names = || {
        let wrong = |error| Failure::new(Kind::Config, "no certificate can have these names").because(&error);
        Names::new(file.certificate_names()).map_err(wrong)
    };
    match (file.certificate.mode, &file.acme) {
        (CertificateMode::Local, _) => {
            let ca = authority::open(environment)?;
            Ok(CertificateSource::Local { ca, names: names()? })
        }
        (CertificateMode::Acme, Some(acme)) => acme_source(acme, names()?, table, zone),
        (CertificateMode::Acme, None) => Err(Failure::new(Kind::Internal, "[acme] is missing")),
    }
}

fn acme_source(
    acme: &Acme,
    names: Names,
    table: &Arc<Certificates>,
    zone: Option<Arc<dyn Dns>>,
) -> Result<CertificateSource, Failure> {
    let directory_url = match &acme.directory {
        Directory::Url(url) => url.clone(),
        _ if acme.is_trial() => LETS_ENCRYPT_STAGING.to_owned(),
        _ => LETS_ENCRYPT.to_owned(),
    };
    let mut http_tokens = None;
    let challenge = match (acme.challenge, &acme.dns, zone) {
        (Challenge::Dns01, Some(dns), _) => Proof::Dns01(Arc::new(DnsHook::new(dns.exec.clone()))),
        (Challenge::Dns01, None, Some(zone)) => Proof::Dns01(zone),
        (Challenge::Dns01, None, None) => {
            return Err(Failure::new(Kind::Internal, "[acme.dns] is missing"));
        }
        (Challenge::TlsAlpn01, ..) => Proof::TlsAlpn01(Arc::clone(table)),
        (Challenge::Http01, ..) => {
            let tokens = HttpTokens::new();
            http_tokens = Some(Arc::clone(&tokens));
            Proof::Http01(tokens)
        }
    };
    let extra_roots_pem = acme.roots.as_deref().map(read_text).transpose()?;
    let contact = acme.contact.clone();
    let config = AcmeConfig { directory_url, contact, extra_roots_pem, challenge, names };
    Ok(CertificateSource::Acme { config, http_tokens })
}

fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(Kind::Config, format!("cannot read {}", path.display())).because(&error)
    })
}

#[cfg(test)]
mod tests;
