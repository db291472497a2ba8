//! TLS towards the edge: version 1.3 only, the ALPN protocol of tunnels, and an ear for interception.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use irp_wire::ALPN;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::trust::{self, Roots, RootsError};

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

/// The issuer's name, without what could disturb a terminal.
fn issuer_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let text = parsed.issuer().to_string();
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(200).collect();
    Some(format!("`{text}`"))
}
