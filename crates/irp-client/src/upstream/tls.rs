//! TLS towards an `https://` upstream.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::trust::{self, Roots, RootsError};

/// Which certificate an `https://` upstream must show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UpstreamTrust {
    /// One that the operating system trusts.
    #[default]
    System,
    /// One signed by an authority of this PEM file, or by one of the system's.
    Authority(PathBuf),
    /// Any. For a development server on this machine; on the way to another one nothing is protected.
    Insecure,
}

/// A TLS set-up that offers `protocol` by ALPN.
pub(crate) fn config(wanted: &UpstreamTrust, protocol: &[u8]) -> Result<Arc<ClientConfig>, RootsError> {
    let verifier = match wanted {
        UpstreamTrust::System => trust::verifier(&Roots::System)?,
        UpstreamTrust::Authority(file) => trust::verifier(&Roots::SystemAnd(file.clone()))?,
        UpstreamTrust::Insecure => Arc::new(AnyCertificate(trust::provider())),
    };
    Ok(Arc::new(trust::config(verifier, rustls::DEFAULT_VERSIONS, protocol)?))
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
