//! `[aws]` of `edge.toml`: the edge runs on a machine in AWS, and may use the machine's role.

use std::{collections::BTreeMap, path::PathBuf};

use irp_launch::values::{CertStore, KmsKey};
use irp_webhook::Provider;
use irp_wire::name::Hostname;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::Misfit;
use crate::{config::policies, error::Failure};

/// The machine's part of AWS. Without this table the edge makes no call of AWS.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aws {
    /// The public zone by name.
    pub(crate) zone: Option<Hostname>,
    /// The zone by id, which saves a call.
    pub(crate) zone_id: Option<String>,
    /// Whether the machine has a role. Without one its metadata are read, and nothing is asked of the account.
    #[serde(default = "yes")]
    pub(crate) role: bool,
    /// Whether the edge keeps the A and AAAA records of its names.
    #[serde(default = "yes")]
    pub(crate) record: bool,
    /// How long resolvers may remember these records, in seconds.
    #[serde(default = "default_record_ttl")]
    pub(crate) record_ttl: u32,
    /// When this file is there, a request to stop means that the machine ends.
    pub(crate) machine_ends: Option<PathBuf>,
    /// Where certificates are kept between launches.
    #[serde(default = "default_cert_store", deserialize_with = "parsed")]
    pub(crate) cert_store: CertStore,
    /// The KMS key for them; the account's own if left out.
    #[serde(default, deserialize_with = "parsed_if_there")]
    pub(crate) kms_key: Option<KmsKey>,
    /// A folder in memory with a copy of the inbox's key, for when the service is started again without AWS.
    pub(crate) key_copy: Option<PathBuf>,
    /// Whether keys that SendSSHPublicKey pushed may claim the names of `[sshd]`.
    #[serde(default = "yes")]
    pub(crate) enrol: bool,
    /// The region, where the metadata service does not tell.
    pub(crate) region: Option<String>,
    /// Where the metadata service is.
    pub(crate) metadata: Option<String>,
    /// Secrets of webhooks, by reference.
    #[serde(default)]
    pub(crate) secrets: Secrets,
}

/// Where signing secrets are, by provider.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secrets(BTreeMap<String, Place>);

/// A reference, or one with the path that the provider calls.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected \"ssm:/PATH\" or { secret = \"ssm:/PATH\", path = \"/hooks\" }")]
enum Place {
    Reference(String),
    Path(AtPath),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AtPath {
    secret: String,
    path: String,
}

/// One of the secrets.
#[derive(Debug)]
pub(crate) struct Referred<'a> {
    /// Whose it is.
    pub(crate) provider: Provider,
    /// What the provider calls; its usual path if left out.
    pub(crate) path: Option<&'a str>,
    /// `ssm:/irp/secret/HOST/NAME`, or `secretsmanager:irp/secret/HOST/NAME`.
    pub(crate) reference: &'a str,
}

fn yes() -> bool {
    true
}

fn default_record_ttl() -> u32 {
    60
}

fn default_cert_store() -> CertStore {
    CertStore::Ssm
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error| D::Error::custom(format!("`{text}` {error}")))
}

fn parsed_if_there<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    parsed(deserializer).map(Some)
}

impl Aws {
    /// Whether it says where records go.
    pub(super) fn has_zone(&self) -> bool {
        self.zone.is_some() || self.zone_id.is_some()
    }

    /// Whether the table fits to the names that the edge serves.
    pub(super) fn check<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), Misfit> {
        self.secrets.check()?;
        let asks_account = self.record || self.has_zone() || self.cert_store != CertStore::File;
        if !self.role && (asks_account || !self.secrets.0.is_empty()) {
            return Err(Misfit::new(
                "[aws] asks for what a machine without a role cannot have",
                "role = false goes with record = false and cert_store = \"file\", without zone and secrets",
            ));
        }
        let Some(zone) = &self.zone else {
            return if self.zone_id.is_some() || !self.record {
                Ok(())
            } else {
                Err(Misfit::new("[aws] has no zone to write records to", "zone = \"proxy.example.com\""))
            };
        };
        let below = format!(".{zone}");
        match names.into_iter().find(|name| *name != zone.as_str() && !name.ends_with(&below)) {
            None => Ok(()),
            Some(name) => Err(Misfit::new(
                format!("{name} is not in the zone {zone} of [aws]"),
                "the zone is what a name ends with; for names elsewhere set record = false",
            )),
        }
    }
}

impl Secrets {
    /// All of them, in the order of their providers' names.
    ///
    /// # Errors
    ///
    /// When nobody knows a provider; the nearest name is hinted at.
    pub(crate) fn referred(&self) -> Result<Vec<Referred<'_>>, Failure> {
        let mut all = Vec::new();
        for (name, place) in &self.0 {
            let (reference, path) = place.parts();
            all.push(Referred { provider: policies::known(name)?, path, reference });
        }
        Ok(all)
    }

    fn check(&self) -> Result<(), Misfit> {
        if let Some((provider, place)) = self.0.iter().find(|(_, place)| !is_reference(place.parts().0)) {
            return Err(Misfit::new(
                format!("`{provider}` of [aws.secrets] is no reference: {}", shown(place.parts().0)),
                format!("{provider} = \"ssm:/irp/secret/alice/{provider}\"; never the secret itself"),
            ));
        }
        let referred = self.referred().map_err(|failure| {
            let hint = failure.hints().first().cloned().unwrap_or_default();
            Misfit::new(format!("[aws.secrets]: {}", failure.message()), hint)
        })?;
        let mut paths = BTreeMap::new();
        for Referred { provider, path, .. } in &referred {
            let path = path.unwrap_or(provider.manners().path);
            if let Some(other) = paths.insert(path, provider.name()) {
                let name = provider.name();
                return Err(Misfit::new(
                    format!("{other} and {name} of [aws.secrets] are both at {path}"),
                    format!("{name} = {{ secret = \"ssm:/…\", path = \"/hooks/{name}\" }}"),
                ));
            }
        }
        Ok(())
    }
}

impl Place {
    /// The reference, and the path if there is one.
    fn parts(&self) -> (&str, Option<&str>) {
        match self {
            Self::Reference(reference) => (reference, None),
            Self::Path(at) => (&at.secret, Some(&at.path)),
        }
    }
}

/// `ssm:` and the path of a parameter (PutParameter: letters, digits and `.-_/`), or `secretsmanager:` and the name of a
/// secret (CreateSecret: letters, digits and `/_+=.@-`).
fn is_reference(text: &str) -> bool {
    let is_plain = |more: &'static [u8]| move |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    match text.strip_prefix("secretsmanager:") {
        Some(name) => !name.is_empty() && name.bytes().all(is_plain(b"/_+=.@-")),
        None => text
            .strip_prefix("ssm:")
            .is_some_and(|path| path.starts_with('/') && path.bytes().all(is_plain(b".-_/"))),
    }
}

/// So much of what should be a reference that nobody reads a secret in it.
fn shown(text: &str) -> String {
    text.chars().take(4).chain(['…']).collect()
}
