//! The table of certificates from which the listener serves.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::parse_x509_certificate;

use super::chain::Certificate;

/// The ALPN protocol of a CA that validates by tls-alpn-01 (RFC 8737, section 6.2). The listener answers a
/// client that offers this, and nothing else, with a configuration that has only this, and closes after the
/// handshake.
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// Certificates by host name, for rustls. Reading takes no lock; a change concerns handshakes that begin after
/// it, and no connection that is open.
///
/// A handshake gets the certificate of the name it asks for, else a wildcard one, else the default: the one put
/// in first. So a stranger who asks for an unknown name, or for none, still gets an answer that HTTP can give.
#[derive(Debug, Default)]
pub struct Certificates {
    table: ArcSwap<Table>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Option<(String, Arc<CertifiedKey>)>,
    challenges: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    /// An empty table: handshakes fail until the first certificate is put in.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Serves `certificate` from now on for all its names, in place of what was served for them.
    pub fn install(&self, certificate: &Certificate) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            for name in certificate.names() {
                table.by_name.insert(name.clone(), Arc::clone(certificate.key()));
            }
            let is_default =
                table.default.as_ref().is_none_or(|(name, _)| certificate.names().contains(name));
            if is_default {
                let name = certificate.names().first().cloned().unwrap_or_default();
                table.default = Some((name, Arc::clone(certificate.key())));
            }
            table
        });
    }

    /// Whether anything can be served.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.load().default.is_none()
    }

    /// Which certificate a visitor who asks for `name` is shown.
    #[must_use]
    pub fn for_name(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let exact = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard =
                || name.split_once('.').and_then(|(_, parent)| table.by_name.get(&format!("*.{parent}")));
            table.by_name.get(&name).or_else(wildcard)
        });
        exact.or(table.default.as_ref().map(|(_, key)| key)).cloned()
    }

    /// When each certificate that is served ends, by the name it is served for.
    #[must_use]
    pub fn ends(&self) -> Vec<(String, SystemTime)> {
        let table = self.table.load();
        let end = |key: &CertifiedKey| {
            let (_, parsed) = parse_x509_certificate(key.cert.first()?).ok()?;
            let second = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
            UNIX_EPOCH.checked_add(Duration::from_secs(second))
        };
        let mut ends: Vec<_> =
            table.by_name.iter().filter_map(|(name, key)| Some((name.clone(), end(key)?))).collect();
        ends.sort_unstable();
        ends
    }

    /// Answers the CA's validation of `name` with this certificate, until [`end_challenge`](Self::end_challenge).
    pub(super) fn begin_challenge(&self, name: &str, key: &Arc<CertifiedKey>) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            table.challenges.insert(name.to_ascii_lowercase(), Arc::clone(key));
            table
        });
    }

    pub(super) fn end_challenge(&self, name: &str) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            table.challenges.remove(&name.to_ascii_lowercase());
            table
        });
    }

    fn challenge(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.table.load().challenges.get(&name?.to_ascii_lowercase()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 8737, section 3: the CA offers acme-tls/1 and nothing else, and must not be shown another one.
        let validation = hello
            .alpn()
            .is_some_and(|mut offered| offered.next() == Some(ACME_TLS_ALPN) && offered.next().is_none());
        if validation { self.challenge(hello.server_name()) } else { self.for_name(hello.server_name()) }
    }
}
