//! TLS towards the edge: version 1.3 only, the ALPN protocol of tunnels, and an ear for interception.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use irp_wire::ALPN;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{
    EdgeCertificate,
    trust::{self, Roots, RootsError},
};

/// This network takes TLS connections apart, or the certificate is a stranger's for another reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{evidence}. It looks as if this network intercepts TLS: nothing of yours was sent. What you can do: ask the \
     network's people to let {host} through untouched, use another network, or go through the machine's \
     sshd with `ssh -N -R`. If {host} is a server with its own certificate authority, name that \
     with `--cacert FILE`"
)]
pub struct Interception {
    host: String,
    evidence: String,
}

impl Interception {
    pub(crate) fn protocol_lost(host: &str) -> Self {
        let evidence = format!("whoever answers for {host} does not speak irp's tunnel protocol");
        Self { host: host.to_owned(), evidence }
    }

    pub(crate) fn proof_lost(host: &str) -> Self {
        let evidence = format!("the TLS session with {host} does not reach from end to end");
        Self { host: host.to_owned(), evidence }
    }
}

/// The TLS set-up for one edge.
pub(super) struct EdgeTls {
    config: Arc<ClientConfig>,
    verifier: Arc<NotingVerifier>,
}

impl EdgeTls {
    pub(super) fn new(roots: &Roots) -> Result<Self, RootsError> {
        let verifier = Arc::new(NotingVerifier { inner: trust::verifier(roots)?, issuer: Mutex::default() });
        let mut config = trust::config(verifier.clone(), &[&TLS13], ALPN)?;
        // Early data could be replayed, and nothing here is in such a hurry.
        config.enable_early_data = false;
        Ok(Self { config: Arc::new(config), verifier })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// Whether a failed handshake shows that somebody else than the edge answered, and how it shows.
    pub(super) fn interception(&self, host: &str, error: &io::Error) -> Option<Interception> {
        let error = error.get_ref()?.downcast_ref::<TlsError>()?;
        let evidence = match error {
            TlsError::InvalidCertificate(why) => {
                let issuer = self.verifier.issuer.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let issuer = issuer.unwrap_or_else(|| "an unknown issuer".into());
                match why {
                    CertificateError::UnknownIssuer => format!(
                        "the certificate shown for {host} is signed by {issuer}, which this machine does not trust"
                    ),
                    why => {
                        format!("the certificate shown for {host}, signed by {issuer}, is not good: {why}")
                    }
                }
            }
            TlsError::NoApplicationProtocol
            | TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                return Some(Interception::protocol_lost(host));
            }
            TlsError::PeerIncompatible(_) | TlsError::AlertReceived(AlertDescription::ProtocolVersion) => {
                format!("whoever answers for {host} does not speak TLS 1.3")
            }
            TlsError::InvalidMessage(_) => format!("whoever answers for {host} does not speak TLS"),
            _ => return None,
        };
        Some(Interception { host: host.to_owned(), evidence })
    }
}

/// Remembers who signed a certificate that was refused, to name the box that intercepts.
struct NotingVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    issuer: Mutex<Option<String>>,
}

impl fmt::Debug for NotingVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NotingVerifier")
    }
}

impl ServerCertVerifier for NotingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verdict =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if verdict.is_err() {
            *self.issuer.lock().unwrap_or_else(PoisonError::into_inner) = issuer_of(end_entity);
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The issuer's name in full, in quotes.
fn issuer_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(format!("`{}`", harmless(&parsed.issuer().to_string())))
}

/// What a person is told of a certificate: who signed it, in short, and how long it is good.
pub(super) fn read_certificate(certificate: &CertificateDer<'_>) -> Option<EdgeCertificate> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let issuer = parsed.issuer();
    let parts = issuer.iter_organization().take(1).chain(issuer.iter_common_name().take(1));
    let mut names: Vec<&str> = parts.filter_map(|part| part.as_str().ok()).collect();
    // Some write their organisation into the name as well.
    if let [organisation, name] = names[..]
        && name.contains(organisation)
    {
        names.remove(0);
    }
    let whole = if names.is_empty() { issuer.to_string() } else { names.join(" ") };
    let not_after = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    Some(EdgeCertificate {
        issuer: harmless(&whole),
        not_after: UNIX_EPOCH.checked_add(Duration::from_secs(not_after))?,
    })
}

/// The longest name of an issuer that is shown, in characters.
const ISSUER_MAX: usize = 200;

/// Without what could disturb a terminal.
fn harmless(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(ISSUER_MAX).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;

    fn presented(organisation: Option<&str>, name: &str) -> EdgeCertificate {
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, name);
        if let Some(organisation) = organisation {
            authority.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        let mut leaf = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        leaf.not_before = date_time_ymd(2026, 1, 1);
        leaf.not_after = date_time_ymd(2026, 4, 1);
        let leaf = leaf.signed_by(&key, &Issuer::new(authority, ca_key)).unwrap();
        read_certificate(leaf.der()).unwrap()
    }

    #[test]
    fn a_certificate_tells_who_signed_it_and_how_long_it_is_good() {
        let of = presented(Some("Let's Encrypt"), "R11");
        assert_eq!(of.issuer, "Let's Encrypt R11");
        assert_eq!(of.not_after, UNIX_EPOCH + Duration::from_secs(1_775_001_600));
        assert_eq!(presented(Some("irp"), "irp on this machine").issuer, "irp on this machine");
        assert_eq!(presented(None, "Pebble \u{1b}[31mRoot").issuer, "Pebble [31mRoot");
        assert_eq!(read_certificate(&CertificateDer::from(vec![0x30, 0])), None);
    }
}
