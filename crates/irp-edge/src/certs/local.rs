//! The certificate authority of `irp up --local`: made once on this machine, trusted by whoever is told to.
//!
//! It can sign for nothing but this machine: its certificate permits `localhost`, the names below it and loopback
//! addresses only (RFC 5280, section 4.2.1.10), so that a stolen key is of no use against other sites.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use x509_parser::parse_x509_certificate;

use super::{
    chain::{Certificate, ChainError},
    clock::Clock,
    folder::{Folder, Readers},
    names::Names,
    renew::renew_at,
    resolver::Certificates,
};

/// The private key, mode 0600.
const KEY_FILE: &str = "ca.key";
/// The certificate: what `curl --cacert` takes.
const CERTIFICATE_FILE: &str = "ca.pem";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long the authority lasts: people trust it by hand, so for ten years.
pub const CA_LASTS: Duration = DAY.saturating_mul(3653);
/// How long a certificate lasts; browsers accept 397 days at most. A running edge renews it at two thirds.
pub const LEAF_LASTS: Duration = DAY.saturating_mul(90);
/// Certificates begin a little early, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// The authority, ready to sign.
#[derive(Debug)]
pub struct LocalCa {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    path: PathBuf,
    not_after: SystemTime,
}

impl LocalCa {
    /// Opens the authority in folder `dir`. It is made if there is none, and anew if it does not outlive a leaf
    /// any more. Processes that do so at once get the same one.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, or what is in it is damaged.
    pub fn open_or_create(dir: &Path, now: SystemTime) -> Result<Self, LocalCaError> {
        let failed = |source| LocalCaError::Folder { path: dir.to_owned(), source };
        let folder = Folder::open(dir).map_err(failed)?;
        let lock = folder.lock().map_err(failed)?;
        if let Some(ca) = load(&folder)?
            && ca.not_after > now + LEAF_LASTS
        {
            return Ok(ca);
        }
        let (key_pem, certificate_pem) = create(now).map_err(LocalCaError::Sign)?;
        // The key goes first: a process killed in between leaves a key without a certificate, which is made anew.
        match folder.remove(&lock, CERTIFICATE_FILE) {
            Ok(_) => folder.write(&lock, KEY_FILE, key_pem.expose_secret().as_bytes(), Readers::Myself),
            Err(error) => Err(error),
        }
        .and_then(|()| folder.write(&lock, CERTIFICATE_FILE, certificate_pem.as_bytes(), Readers::Everybody))
        .map_err(failed)?;
        load(&folder)?.ok_or_else(|| LocalCaError::Damaged { path: folder.path(CERTIFICATE_FILE) })
    }

    /// Where the certificate is, for `curl --cacert`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a certificate for `names`, which must lie at or below `localhost`, and for the loopback addresses
    /// `127.0.0.1` and `::1`, and `localhost` itself: many resolvers do not know `NAME.localhost`.
    ///
    /// # Errors
    ///
    /// When a name is not local, or signing fails.
    pub fn issue(&self, names: &Names, now: SystemTime) -> Result<Certificate, LocalCaError> {
        let mut alternatives = Vec::new();
        // The caller's name first: it is the one served by default.
        for name in names.iter().filter(|name| *name != LOCALHOST).chain([LOCALHOST]) {
            if name != LOCALHOST && !name.ends_with(".localhost") {
                return Err(LocalCaError::NotLocal(name.to_owned()));
            }
            alternatives.push(SanType::DnsName(name.try_into().map_err(LocalCaError::Sign)?));
        }
        alternatives.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        alternatives.push(SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(LocalCaError::Sign)?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = alternatives;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "irp on this machine");
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + LEAF_LASTS).min(self.not_after).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.issuer).map_err(LocalCaError::Sign)?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Certificate::from_der(chain, key)?)
    }

    /// Keeps a certificate for `names` in `certificates` until `stop`; the first one is there when this is first
    /// polled.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue).
    pub async fn keep(
        &self,
        names: &Names,
        certificates: &Certificates,
        clock: &Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Result<(), LocalCaError> {
        loop {
            let certificate = self.issue(names, clock.now())?;
            certificates.install(&certificate);
            let due = renew_at(certificate.life(), None, certificate.spread());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = clock.sleep_until(due) => {}
            }
        }
    }
}

const LOCALHOST: &str = "localhost";

/// The authority as it is on the disk; `None` when a file is missing.
fn load(folder: &Folder) -> Result<Option<LocalCa>, LocalCaError> {
    let read =
        |name| folder.read(name).map_err(|source| LocalCaError::Folder { path: folder.path(name), source });
    let (Some(key), Some(certificate)) = (read(KEY_FILE)?, read(CERTIFICATE_FILE)?) else { return Ok(None) };
    let damaged = |name| LocalCaError::Damaged { path: folder.path(name) };
    let key = String::from_utf8(key).map_err(|_| damaged(KEY_FILE))?;
    let key = KeyPair::from_pem(&key).map_err(|_| damaged(KEY_FILE))?;
    let certificate_pem = String::from_utf8(certificate).map_err(|_| damaged(CERTIFICATE_FILE))?;
    let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes());
    let certificate = certificate.map_err(|_| damaged(CERTIFICATE_FILE))?;
    let (_, parsed) = parse_x509_certificate(&certificate).map_err(|_| damaged(CERTIFICATE_FILE))?;
    let not_after = SystemTime::from(parsed.validity().not_after.to_datetime());
    let is_pair = parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw();
    if !is_pair {
        return Err(damaged(CERTIFICATE_FILE));
    }
    let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| damaged(CERTIFICATE_FILE))?;
    let path = folder.path(CERTIFICATE_FILE);
    Ok(Some(LocalCa { issuer, certificate, certificate_pem, path, not_after }))
}

/// A new key and certificate, both PEM.
fn create(now: SystemTime) -> Result<(SecretString, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "irp local authority (this machine only)");
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + CA_LASTS).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName(LOCALHOST.into()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::V6(Ipv6Addr::LOCALHOST.octets(), [0xff; 16])),
        ],
        excluded_subtrees: Vec::new(),
    });
    let certificate = params.self_signed(&key)?;
    Ok((key.serialize_pem().into(), certificate.pem()))
}

/// The local authority is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LocalCaError {
    /// The folder or a file in it cannot be used.
    #[error("cannot use {} for the local certificate authority", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what irp wrote.
    #[error("{} is damaged; delete it to have a new local certificate authority made, and trust that one", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The authority may not sign for this name.
    #[error("{0} is not below localhost")]
    NotLocal(String),
    /// Signing failed.
    #[error("the local certificate authority cannot sign")]
    Sign(#[source] rcgen::Error),
    /// What was signed cannot be used.
    #[error(transparent)]
    Chain(#[from] ChainError),
}
