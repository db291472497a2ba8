//! A certificate authority made for one test: TLS for origins and for stand-ins of the edge.

use std::{
    io::Write,
    path::Path,
    sync::{Arc, LazyLock},
};

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::NamedTempFile;

/// The one crypto provider, named at every use so that no test depends on a process-wide default.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// A certificate authority that nobody trusts but who is handed its root.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    file: NamedTempFile,
}

impl Authority {
    /// Makes a new authority; its root lies in a file that is deleted on drop.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "irp test authority");
        let root = params.self_signed(&key).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(root.pem().as_bytes()).unwrap();
        Self { root: root.der().clone(), issuer: Issuer::new(params, key), file }
    }

    /// Where the root certificate lies as PEM, as `curl --cacert` wants it.
    #[must_use]
    pub fn pem_file(&self) -> &Path {
        self.file.path()
    }

    /// The root certificate.
    #[must_use]
    pub fn root(&self) -> CertificateDer<'static> {
        self.root.clone()
    }

    /// The root certificate as a store that a TLS client trusts.
    #[must_use]
    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root()).unwrap();
        Arc::new(roots)
    }

    /// A TLS server with a fresh certificate for `names` (host names or addresses) that offers `alpn`.
    #[must_use]
    pub fn server(&self, names: &[&str], alpn: &[&str]) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(names);
        let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A fresh certificate for `names` and its key, both PEM, for a server that is a program of its own.
    #[must_use]
    pub fn pem(&self, names: &[&str]) -> (String, String) {
        let (certificate, key) = self.issue(names);
        (certificate.pem(), key.serialize_pem())
    }

    fn issue(&self, names: &[&str]) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// The crypto provider that all peers of this crate use.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}
