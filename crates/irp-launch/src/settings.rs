//! The settings of a launch, each checked, each with the place where it came from.
//!
//! [`Settings::read`] takes texts by source and gives either settings that fit together or everything that is
//! wrong with them at once, so that a person mends a file in one go.

mod key;
mod shown;
mod source;
mod warning;

use std::{fmt, str::FromStr};

use irp_wire::name::Hostname;

pub use self::{
    key::Key,
    source::{Layers, Source},
    warning::Warning,
};
use crate::values::{
    AcmeDirectory, Arch, Artefact, CertStore, Email, Hours, InstanceType, KmsKey, Label, Locale,
    SecretReference, TimeZone, UpstreamPort, ValueError, ZoneName,
};

/// A value and its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

/// What runs on the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Engine {
    /// irp's own edge, which the machine downloads; one file, or one for each architecture.
    Irp(Vec<EdgeBinary>),
    /// Caddy from an archive, and small scripts.
    Caddy(Artefact),
}

/// The edge's program for machines of one architecture, or for whatever machine there is.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeBinary {
    /// Which machines run it; `None` where nobody can tell.
    pub arch: Option<Arch>,
    /// The file; its hash is always known.
    pub artefact: Artefact,
}

/// The settings of a launch, complete.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The first label of the public name.
    pub host: Setting<Label>,
    /// The hosted zone.
    pub zone: Setting<ZoneName>,
    /// The public name, both together.
    pub name: Hostname,
    /// What runs on the machine.
    pub engine: Setting<Engine>,
    /// The kind of machine, where it is known.
    pub instance_type: Option<Setting<InstanceType>>,
    /// Where tunnels come out.
    pub upstream_port: Setting<UpstreamPort>,
    /// How long the machine stays after the last session.
    pub idle: Setting<Hours>,
    /// How long it stays at most.
    pub max_life: Setting<Hours>,
    /// Whether the machine has no role in the account, so that the PC sets its record, and nothing outlives it.
    pub no_role: Setting<bool>,
    /// Where certificates are kept.
    pub cert_store: Setting<CertStore>,
    /// With which key they are encrypted.
    pub kms_key: Option<Setting<KmsKey>>,
    /// Whom the certificate authority may write to.
    pub acme_contact: Option<Setting<Email>>,
    /// Whether certificates are ordered from Let's Encrypt's staging directory.
    pub acme_staging: Setting<bool>,
    /// The directory of another certificate authority than Let's Encrypt.
    pub acme_directory: Option<Setting<AcmeDirectory>>,
    /// Where Slack's signing secret is.
    pub slack_secret: Option<Setting<SecretReference>>,
    /// The machine's language.
    pub locale: Setting<Locale>,
    /// The machine's time zone.
    pub timezone: Setting<TimeZone>,
    warnings: Vec<Warning>,
}

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A text is not what its key wants.
    #[error("{key} ({}) {}; allowed: {}", origin.of(*key), told(*key, text, why), key.allowed())]
    Value {
        /// The key.
        key: Key,
        /// Where the text came from.
        origin: Source,
        /// The text.
        text: String,
        /// What is wrong with it.
        #[source]
        why: ValueError,
    },
    /// Nobody set it, and there is no default.
    #[error("{key} is not set; allowed: {}", key.allowed())]
    Missing {
        /// The key.
        key: Key,
    },
    /// Two settings do not fit together.
    #[error("{key} ({}) {why}", origin.of(*key))]
    Conflict {
        /// The key.
        key: Key,
        /// Where its text came from.
        origin: Source,
        /// What does not fit.
        why: String,
    },
}

/// The longest text that is quoted in a message, in characters.
const QUOTED_MAX: usize = 80;

fn told(key: Key, text: &str, why: &ValueError) -> String {
    if key.is_secret() {
        return why.to_string();
    }
    let mut shown: String = text.chars().take(QUOTED_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{shown}` {why}")
}

impl Settings {
    /// Reads all settings. `released` are the edges that this build of irp knows of, for when none is named.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in the order of [`Key::all`].
    pub fn read(layers: &Layers, released: &[EdgeBinary]) -> Result<Self, Vec<SettingError>> {
        let mut reader = Reader { layers, errors: Vec::new(), warnings: Vec::new() };
        let read = reader.read_all(released);
        let Reader { mut errors, warnings, .. } = reader;
        match read {
            Some(settings) if errors.is_empty() => Ok(Self { warnings, ..settings }),
            _ => {
                errors.sort_by_key(SettingError::key);
                Err(errors)
            }
        }
    }

    /// What a person should know, though nothing is wrong.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl SettingError {
    /// Which setting is wrong.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Value { key, .. } | Self::Missing { key } | Self::Conflict { key, .. } => *key,
        }
    }
}

struct Reader<'a> {
    layers: &'a Layers,
    errors: Vec<SettingError>,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    /// A setting that need not be there.
    fn optional<T: FromStr<Err = ValueError>>(&mut self, key: Key) -> Option<Setting<T>> {
        let (text, source) = self.layers.find(key)?;
        match text.parse() {
            Ok(value) => Some(Setting { value, source }),
            Err(why) => {
                self.errors.push(SettingError::Value { key, origin: source, text: text.to_owned(), why });
                None
            }
        }
    }

    fn required<T: FromStr<Err = ValueError>>(&mut self, key: Key) -> Option<Setting<T>> {
        if self.layers.find(key).is_none() {
            self.errors.push(SettingError::Missing { key });
        }
        self.optional(key)
    }

    fn conflict(&mut self, key: Key, source: &Source, why: impl Into<String>) {
        self.errors.push(SettingError::Conflict { key, origin: source.clone(), why: why.into() });
    }

    /// Reads everything even after a mistake, so that all of them are told.
    fn read_all(&mut self, released: &[EdgeBinary]) -> Option<Settings> {
        let host = self.required::<Label>(Key::HostName);
        let zone = self.required::<ZoneName>(Key::HostedZoneDomain);
        let instance_type = self.optional::<InstanceType>(Key::InstanceType);
        let arch = instance_type.as_ref().map(|kind| kind.value.arch());
        let engine = self.engine(arch, released);
        let upstream_port = self.required::<UpstreamPort>(Key::UpstreamPort);
        let idle = self.required::<Hours>(Key::ShutdownTimerHour);
        let max_life = self.required::<Hours>(Key::MaxLifeHour);
        let no_role = self.required::<Switch>(Key::NoRole);
        let cert_store = self.cert_store(no_role.as_ref());
        let kms_key = self.optional::<KmsKey>(Key::KmsKey);
        let acme_contact = self.optional::<Email>(Key::AcmeContact);
        let acme_staging = self.required::<Switch>(Key::AcmeStaging);
        let acme_directory = self.optional::<AcmeDirectory>(Key::AcmeDirectory);
        if let (Some(directory), Some(Switch(true))) =
            (&acme_directory, acme_staging.as_ref().map(|it| &it.value))
        {
            let why = "and ACME_STAGING name two certificate authorities: keep one of them";
            self.conflict(Key::AcmeDirectory, &directory.source, why);
        }
        let locale = self.required::<Locale>(Key::Locale);
        let timezone = self.required::<TimeZone>(Key::Timezone);
        let slack_secret = host.as_ref().and_then(|host| self.slack_secret(&host.value));
        if let (Some(no_role), Some(engine)) = (no_role.as_ref().filter(|it| it.value.0), &engine) {
            self.without_role(&no_role.source, &engine.value, slack_secret.as_ref());
        }

        let (host, zone) = (host?, zone?);
        let name = match host.value.below(&zone.value) {
            Ok(name) => name,
            Err(error) => {
                let why = format!("and HOSTED_ZONE_DOMAIN together make no name: {error}");
                self.conflict(Key::HostName, &host.source, why);
                return None;
            }
        };
        let settings = Settings {
            host,
            zone,
            name,
            engine: engine?,
            instance_type,
            upstream_port: upstream_port?,
            idle: idle?,
            max_life: max_life?,
            no_role: no_role.map(|switch| Setting { value: switch.value.0, source: switch.source })?,
            cert_store: cert_store?,
            kms_key,
            acme_contact,
            acme_staging: acme_staging
                .map(|switch| Setting { value: switch.value.0, source: switch.source })?,
            acme_directory,
            slack_secret,
            locale: locale?,
            timezone: timezone?,
            warnings: Vec::new(),
        };
        self.warnings.extend(warning::of(&settings));
        Some(settings)
    }

    /// Where certificates are kept: without a role, on the machine's own disk.
    fn cert_store(&mut self, no_role: Option<&Setting<Switch>>) -> Option<Setting<CertStore>> {
        let key = Key::CertStore;
        let wished = self.required::<CertStore>(key)?;
        match (no_role.map(|it| it.value.0), &wished.source) {
            (Some(true), Source::Default) => {
                Some(Setting { value: CertStore::File, source: Source::Follows(Key::NoRole) })
            }
            (Some(true), source) if wished.value != CertStore::File => {
                let why = "is a place that a machine without a role (NO_ROLE) cannot reach: leave it out";
                self.conflict(key, &source.clone(), why);
                None
            }
            _ => Some(wished),
        }
    }

    /// What a machine without a role cannot do.
    fn without_role(
        &mut self,
        origin: &Source,
        engine: &Engine,
        slack_secret: Option<&Setting<SecretReference>>,
    ) {
        if matches!(engine, Engine::Caddy(_)) {
            let why =
                "and engine caddy do not go together: Caddy's machine sets its record by itself, by its role";
            self.conflict(Key::NoRole, origin, why);
        }
        if let Some(secret) = slack_secret {
            let why = "is a reference, which a machine without a role (NO_ROLE) cannot look up: irp up gives the edge \
                       the secret itself, in memory, while you are connected";
            self.conflict(Key::SlackSigningSecret, &secret.source, why);
        }
    }

    fn engine(&mut self, arch: Option<Arch>, released: &[EdgeBinary]) -> Option<Setting<Engine>> {
        let which = match self.layers.find(Key::Engine) {
            Some(_) => self.optional::<Which>(Key::Engine)?,
            None if self.layers.names_caddy() => {
                Setting { value: Which::Caddy, source: Source::Follows(Key::CaddyDlUrl) }
            }
            None => Setting { value: Which::Irp, source: Source::Default },
        };
        let value = match which.value {
            Which::Caddy => {
                let archive = self.artefact(Key::CaddyDlUrl, Key::CaddySha256, arch)?;
                if archive.sha256.is_none() && !archive.url.is_encrypted() {
                    self.errors.push(SettingError::Missing { key: Key::CaddySha256 });
                }
                Engine::Caddy(archive)
            }
            Which::Irp if self.layers.find(Key::EdgeDlUrl).is_some() => {
                let artefact = self.artefact(Key::EdgeDlUrl, Key::EdgeSha256, arch)?;
                if artefact.sha256.is_none() {
                    self.errors.push(SettingError::Missing { key: Key::EdgeSha256 });
                }
                Engine::Irp(vec![EdgeBinary { arch: artefact.url.arch(), artefact }])
            }
            Which::Irp => {
                let fits = |edge: &&EdgeBinary| arch.is_none() || edge.arch.is_none() || edge.arch == arch;
                let fitting: Vec<_> = released.iter().filter(fits).cloned().collect();
                if fitting.is_empty() {
                    self.errors.push(SettingError::Missing { key: Key::EdgeDlUrl });
                }
                Engine::Irp(fitting)
            }
        };
        Some(Setting { value, source: which.source })
    }

    /// A file to download, which must run on the machine if both can be told.
    fn artefact(&mut self, url: Key, sha256: Key, arch: Option<Arch>) -> Option<Artefact> {
        let hash = self.optional(sha256);
        let file: Setting<crate::values::DownloadUrl> = self.required(url)?;
        match (file.value.arch(), arch) {
            (Some(has), Some(wants)) if has != wants => {
                let why = format!("is for {has}, but the machine of INSTANCE_TYPE is {wants}");
                self.conflict(url, &file.source, why);
            }
            (None, _) => self.warnings.push(Warning::UnknownArchitecture { key: url }),
            _ => {}
        }
        Some(Artefact { url: file.value, sha256: hash.map(|hash| hash.value) })
    }

    /// Only a reference goes to the machine. Anything else is taken for the secret itself, and stays here.
    fn slack_secret(&mut self, host: &Label) -> Option<Setting<SecretReference>> {
        let key = Key::SlackSigningSecret;
        let (text, source) = self.layers.find(key)?;
        if !SecretReference::is_meant(text) {
            self.warnings.push(Warning::SecretStaysHere { key, host: host.clone() });
            return None;
        }
        match SecretReference::parse(text, host) {
            Ok(value) => Some(Setting { value, source }),
            Err(why) => {
                self.errors.push(SettingError::Value { key, origin: source, text: String::new(), why });
                None
            }
        }
    }
}

/// The engine by name.
#[derive(Clone, Copy)]
enum Which {
    Irp,
    Caddy,
}

impl FromStr for Which {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "irp" => Ok(Self::Irp),
            "caddy" => Ok(Self::Caddy),
            _ => Err(ValueError::new("is no engine")),
        }
    }
}

/// On or off.
#[derive(Clone, Copy)]
struct Switch(bool);

impl FromStr for Switch {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "1" | "true" => Ok(Self(true)),
            "0" | "false" => Ok(Self(false)),
            _ => Err(ValueError::new("is neither on nor off")),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Irp(_) => "irp",
            Self::Caddy(_) => "caddy",
        })
    }
}

#[cfg(test)]
mod tests;
