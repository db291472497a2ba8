//! Who may vouch for whom: what TLS towards an edge and towards an upstream have in common.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, Error as TlsError, RootCertStore, SupportedProtocolVersion,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Which certificate authorities may vouch for an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those that the operating system trusts.
    #[default]
    System,
    /// Those of the system, and those of a PEM file.
    SystemAnd(PathBuf),
    /// Those of a PEM file alone.
    Only(PathBuf),
}

/// Why trust cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read as PEM certificates.
    #[error("cannot read certificates from {}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// The file holds no certificate.
    #[error("there is no certificate in {}", .0.display())]
    Empty(PathBuf),
    /// The system's trust store, or a certificate, cannot be used.
    #[error("cannot use the trusted certificates")]
    Verifier(#[from] TlsError),
    /// A certificate of the file cannot be a root.
    #[error("cannot trust the certificates")]
    Root(#[from] rustls::client::VerifierBuilderError),
}

/// The one crypto provider of this project.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A verifier for these roots.
pub(crate) fn verifier(roots: &Roots) -> Result<Arc<dyn ServerCertVerifier>, RootsError> {
    let provider = provider();
    let system = |extra| {
        rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider.clone())
            .map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>)
    };
    match roots {
        Roots::System => Ok(system(Vec::new())?),
        Roots::SystemAnd(file) => Ok(system(certificates(file)?)?),
        Roots::Only(file) => {
            let mut store = RootCertStore::empty();
            for certificate in certificates(file)? {
                store.add(certificate)?;
            }
            Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build()?)
        }
    }
}

/// A TLS set-up without a certificate of our own, which believes `verifier` and offers `protocol` by ALPN.
pub(crate) fn config(
    verifier: Arc<dyn ServerCertVerifier>,
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let failed = |source| RootsError::File { file: file.to_owned(), source };
    let all = CertificateDer::pem_file_iter(file).map_err(failed)?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if all.is_empty() { Err(RootsError::Empty(file.to_owned())) } else { Ok(all) }
}
