//! From `edge.toml` to what the edge runs with.

#[cfg_attr(not(target_os = "linux"), path = "edge/sshd/elsewhere.rs")]
mod sshd;

use std::{fs, path::Path, sync::Arc};

use irp_edge::{
    certs::{
        AcmeConfig, Certificates, Challenge as Proof, Dns, HttpTokens, LETS_ENCRYPT, LETS_ENCRYPT_STAGING,
        Names,
    },
    config::{CertificateSource, DRAIN, EdgeConfig, Host as HostRules},
    http::{Limits as HttpLimits, access},
    idle::IdleAfter,
    keys::{Grant, Keys},
    power::Power,
    tunnels::native,
};

use super::{
    edge_file::{Acme, CertificateMode, Challenge, Directory, EdgeFile, Host, Key, Limits, Network, OnEnd},
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
    let drain = file.limits.drain_time.map_or(DRAIN, |span| span.get());
    let inbox = file.inbox.settings().map(|mut settings| {
        let answer = file.limits.upstream_time.map(|span| span.get());
        settings.delivery.answer_within = answer.unwrap_or(settings.delivery.answer_within);
        settings
    });
    let sessions = sessions(&file.limits);
    let limits = limits(file.limits, &sessions);
    Ok(EdgeConfig {
        listen: file.listen,
        http_listen: file.http_listen,
        metrics_listen: file.metrics_listen.map(|listen| listen.0),
        public_port: None,
        hosts: file.hosts.into_iter().map(rules).collect::<Result<_, _>>()?,
        keys: keys(file.keys),
        certificates,
        state: file.state_dir,
        sessions,
        limits,
        ssh,
        inbox,
        idle_after,
        power,
        drain,
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
    let access = access::Access::new(networks(host.allow), users.collect());
    Ok(HostRules { name: host.name, aliases: Vec::new(), access, policies })
}

fn networks(networks: Vec<Network>) -> Vec<ipnet::IpNet> {
    networks.into_iter().map(|network| network.0).collect()
}

fn limits(file: Limits, sessions: &native::Settings) -> HttpLimits {
    let mut limits = HttpLimits::default();
    let set = |limit: &mut std::time::Duration, span: Option<super::values::Span>| {
        if let Some(span) = span {
            *limit = span.get();
        }
    };
    set(&mut limits.header_read, file.header_time);
    set(&mut limits.idle, file.idle_time);
    set(&mut limits.stalled, file.stall_time);
    set(&mut limits.upload_idle, file.upload_time);
    set(&mut limits.upgrade_idle, file.upgrade_time);
    set(&mut limits.response_head, file.upstream_time);
    set(&mut limits.hold, file.hold);
    let count = |limit: &mut usize, number: Option<u64>| {
        if let Some(number) = number {
            *limit = usize::try_from(number).unwrap_or(usize::MAX);
        }
    };
    count(&mut limits.header_bytes, file.header_bytes.map(|bytes| bytes.get()));
    count(&mut limits.budget, file.memory.map(|bytes| bytes.get()));
    count(&mut limits.held, file.hold_requests.map(u64::from));
    count(&mut limits.in_flight, file.requests.map(u64::from));
    count(&mut limits.in_flight_per_name, file.requests_per_name.map(u64::from));
    limits.streams = file.streams.unwrap_or(limits.streams);
    limits.trusted_proxies = networks(file.trusted_proxies);
    limits.stream_window = usize::try_from(sessions.stream_window).unwrap_or(usize::MAX);
    limits
}

fn sessions(file: &Limits) -> native::Settings {
    let mut settings = native::Settings::default();
    settings.lanes_max = file.lanes.unwrap_or(settings.lanes_max);
    if let Some(window) = file.stream_window {
        // RFC 9113, section 6.9.1: a window has 31 bits.
        settings.stream_window =
            u32::try_from(window.get().min((1 << 31) - 1)).unwrap_or(settings.stream_window);
    }
    settings
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
    let directory_url = match (&acme.directory, acme.staging) {
        (_, true) | (Directory::LetsEncryptStaging, _) => LETS_ENCRYPT_STAGING.to_owned(),
        (Directory::LetsEncrypt, false) => LETS_ENCRYPT.to_owned(),
        (Directory::Url(url), false) => url.clone(),
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
mod tests {
    use super::*;
    use crate::config::toml_file::parse;

    fn directory(line: &str) -> String {
        let text = format!("[acme]\nchallenge = 'tls-alpn-01'\nnames = ['alice.example.com']\n{line}\n");
        let file: EdgeFile = parse(&text, Path::new("edge.toml")).unwrap_or_else(|it| panic!("{it:?}"));
        let made = from_file(file, &Certificates::new(), &Environment::read(), None);
        match made.unwrap_or_else(|it| panic!("{it:?}")).certificates {
            CertificateSource::Acme { config, .. } => config.directory_url,
            CertificateSource::Local { .. } => panic!("[acme] was not heeded"),
        }
    }

    #[test]
    fn one_switch_leads_to_staging() {
        let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
        assert_eq!(directory("staging = true"), staging);
        assert_eq!(directory("directory = 'letsencrypt-staging'"), staging);
        let production = "https://acme-v02.api.letsencrypt.org/directory";
        assert_eq!(directory(""), production);
        assert_eq!(directory("staging = false"), production);
        assert_eq!(directory("directory = 'https://ca.example.com/dir'"), "https://ca.example.com/dir");
    }
}
