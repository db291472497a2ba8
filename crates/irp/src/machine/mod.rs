//! The edge on a machine in AWS: the ports of `irp-edge` filled with Route 53, Parameter Store, S3 and the metadata
//! service.

mod mirror;
pub(crate) mod planned_end;
mod pushed_keys;
mod record;
mod s3_store;
mod secrets;
mod ssm_store;
mod vault;
pub(crate) mod zone;

#[cfg(test)]
#[path = "../../../irp-edge/tests/certs/contract.rs"]
mod contract;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use irp_aws::{Aws, Imds, Options, imds::ENDPOINT};
use irp_edge::{
    certs::{Dns, FileStore, Store},
    enrolment::Enrolment,
    inbox::Vault,
    notices::Notices,
    troubles::Troubles,
};
use irp_launch::{
    tags,
    values::{CertStore, KmsKey},
};
use irp_wire::name::{Hostname, NamePattern};

pub(crate) use self::record::RecordKeeper;
use self::{
    mirror::Mirror,
    pushed_keys::ActiveKeys,
    s3_store::S3Store,
    secrets::SigningSecrets,
    ssm_store::SsmStore,
    vault::S3Vault,
    zone::{Named, Zone},
};
use crate::{
    config::edge_file::{EdgeFile, aws as file},
    error::{Failure, Kind},
};

/// What AWS gives an edge.
pub(crate) struct InAws {
    /// Who writes the TXT records of dns-01.
    pub(crate) dns: Option<Arc<dyn Dns>>,
    /// Where certificates are kept; `None` is the state folder.
    pub(crate) store: Option<Arc<dyn Store>>,
    /// Where the key of the inbox is kept; `None` is the state folder.
    pub(crate) inbox_keys: Option<Arc<dyn Store>>,
    /// Where the inbox goes when the machine ends; `None` is nowhere.
    pub(crate) vault: Option<Arc<dyn Vault>>,
    /// Keeps the address records.
    pub(crate) records: RecordKeeper,
    /// Who may connect beyond the configured keys.
    pub(crate) enrolment: Option<Enrolment>,
    /// Secrets for policies of the names.
    pub(crate) secrets: SigningSecrets,
    /// All names of the machine.
    pub(crate) names: Vec<Hostname>,
    /// When this file is there at the end, the machine ends.
    pub(crate) machine_ends: Option<PathBuf>,
}

/// Looks up region and credentials, and puts together what `[aws]` asks for. Nothing is written yet.
///
/// # Errors
///
/// When the region is unknown, or something in the table is wrong.
pub(crate) async fn open(
    edge: &EdgeFile,
    settings: &file::Aws,
    notices: &Notices,
    troubles: &Troubles,
) -> Result<InAws, Failure> {
    let endpoint = settings.metadata.as_deref().unwrap_or(ENDPOINT);
    let imds = Imds::new(endpoint)
        .map_err(|error| Failure::new(Kind::Config, "[aws] metadata is wrong").because(&error))?;
    let region = match &settings.region {
        Some(region) => Some(region.clone()),
        // Without an answer it is looked for where the AWS CLI looks.
        None => imds.region().await.unwrap_or_default(),
    };
    let options = Options { region, metadata: settings.metadata.clone(), ..Options::default() };
    let aws = Aws::load(options)
        .await
        .map_err(|error| Failure::new(Kind::Config, "AWS cannot be used").because(&error))?;
    let named = match (&settings.zone_id, &settings.zone) {
        (Some(id), _) => Some(Named::Id(id.clone())),
        (None, Some(name)) => Some(Named::Name(name.as_str().to_owned())),
        (None, None) => None,
    };
    let zone = named.map(|named| Arc::new(Zone::new(aws.route53(), named)));
    let names = names(edge);
    let store = match names.first() {
        Some(name) => store(&aws, settings, name.as_str())?,
        None => None,
    };
    let store = store.map(|store| mirrored(store, &edge.state_dir)).transpose()?;
    let kept = zone.clone().filter(|_| settings.record);
    let (inbox_keys, vault) = match names.first().filter(|_| settings.role && edge.inbox.is_enabled()) {
        Some(name) => (Some(inbox_keys(&aws, settings, name)?), vault(&aws, &imds, settings, name).await),
        None => (None, None),
    };
    Ok(InAws {
        dns: zone.map(|zone| zone as _),
        store,
        inbox_keys,
        vault,
        secrets: secrets::read(&aws, &settings.secrets, notices, troubles).await?,
        enrolment: edge
            .sshd
            .as_ref()
            .filter(|_| settings.enrol)
            .map(|sshd| Enrolment::new(&sshd.names, Arc::new(ActiveKeys::new(imds.clone())))),
        records: RecordKeeper::new(imds, kept, names.clone(), settings.record_ttl),
        names,
        machine_ends: settings.machine_ends.clone(),
    })
}

/// All names that are no pattern, the first of which names what is kept.
fn names(edge: &EdgeFile) -> Vec<Hostname> {
    let sshd = edge.sshd.iter().flat_map(|sshd| sshd.names.iter().cloned());
    let granted = edge.keys.iter().flat_map(|key| &key.names).filter_map(exact);
    let mut names: Vec<Hostname> = Vec::new();
    for name in sshd.chain(granted) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn exact(pattern: &NamePattern) -> Option<Hostname> {
    pattern.to_string().parse().ok()
}

/// Where the key of the inbox is kept; with a copy in memory, so that a restart of the service needs no AWS.
fn inbox_keys(aws: &Aws, settings: &file::Aws, name: &Hostname) -> Result<Arc<dyn Store>, Failure> {
    let key = settings.kms_key.as_ref().map(ToString::to_string);
    let store = Arc::new(SsmStore::of_inbox(aws.ssm(), name, key));
    match &settings.key_copy {
        Some(folder) => mirrored(store, folder),
        None => Ok(store),
    }
}

/// The folder of this name in the bucket of `irp setup`, where there is one.
async fn vault(aws: &Aws, imds: &Imds, settings: &file::Aws, name: &Hostname) -> Option<Arc<dyn Vault>> {
    let account = match imds.account_id().await {
        Ok(Some(account)) => account,
        told => {
            let why = told.err().map(|error| error.to_string());
            tracing::warn!(why, "the account is not known: events that wait end with this machine");
            return None;
        }
    };
    let bucket = tags::bucket(&account, aws.region()).parse().ok()?;
    let key = settings.kms_key.as_ref().map(ToString::to_string);
    let vault = S3Vault::open(aws.s3().owned_by(&account), bucket, name, key).await?;
    Some(Arc::new(vault))
}

fn mirrored(store: Arc<dyn Store>, folder: &Path) -> Result<Arc<dyn Store>, Failure> {
    let copy = FileStore::open(folder)
        .map_err(|error| Failure::new(Kind::Config, "the edge cannot start").because(&error))?;
    Ok(Arc::new(Mirror::new(store, copy)))
}

fn store(aws: &Aws, settings: &file::Aws, name: &str) -> Result<Option<Arc<dyn Store>>, Failure> {
    store_in(aws, &settings.cert_store, settings.kms_key.as_ref(), name)
}

/// Where the certificates of a name are kept in the account; `None` where they are on the machine's own disk.
///
/// # Errors
///
/// When the bucket can have no such name.
pub(crate) fn store_in(
    aws: &Aws,
    place: &CertStore,
    kms_key: Option<&KmsKey>,
    name: &str,
) -> Result<Option<Arc<dyn Store>>, Failure> {
    let key = kms_key.map(ToString::to_string);
    Ok(match place {
        CertStore::File => None,
        CertStore::Ssm => Some(Arc::new(SsmStore::new(aws.ssm(), name, key))),
        CertStore::S3 { bucket, prefix } => {
            let bucket = bucket.parse().map_err(|error: irp_aws::s3::BucketError| {
                Failure::new(Kind::Config, "the bucket for certificates can have no such name")
                    .because(&error)
            })?;
            Some(Arc::new(S3Store::new(aws.s3(), bucket, prefix, name, key)))
        }
    })
}
