//! The settings of a launch, gathered from flags, environment, `.env` and `irp.toml`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use irp_launch::{
    settings::{EdgeBinary, Key, Layers, SettingError, Settings, Source},
    values::{CertStore, KmsKey, Label, SecretReference, ValueError, ZoneName},
};
use secrecy::SecretString;
use serde::Deserialize;

use super::{senders::Sender, toml_file};
use crate::{
    cli::launch,
    environment::{self, Environment},
    error::{Failure, Kind},
    release,
    ui::Ui,
};

/// The file of variables in the current folder, if no other is named.
pub(super) const ENV_FILE: &str = ".env";

/// The file of settings, in the current folder or in irp's configuration folder.
pub(super) const TOML_FILE: &str = "irp.toml";

/// How alike a name of `.env` must be to one of ours to be taken for a slip (Jaro–Winkler, 0 to 1). High, since
/// the file may hold settings of other programs.
const ALIKE: f64 = 0.95;

/// Gathers and reads them. What a person should know goes to the screen.
///
/// # Errors
///
/// When a file cannot be read, or settings are wrong: all of them are told at once.
pub(crate) fn settings(
    flags: &launch::Settings,
    environment: &Environment,
    ui: &Ui,
) -> Result<Settings, Failure> {
    with_programs(flags, environment, ui, &release::edges())
}

/// The same for commands that launch nothing: it does not matter where the edge would be downloaded.
///
/// # Errors
///
/// As [`settings`].
pub(crate) fn settings_without_program(
    flags: &launch::Settings,
    environment: &Environment,
    ui: &Ui,
) -> Result<Settings, Failure> {
    with_programs(flags, environment, ui, &release::any_edge())
}

fn with_programs(
    flags: &launch::Settings,
    environment: &Environment,
    ui: &Ui,
    programs: &[EdgeBinary],
) -> Result<Settings, Failure> {
    let settings = Gathered { layers: layers(flags, environment, ui)? }.settings(programs)?;
    for warning in settings.warnings() {
        ui.warning(&warning.to_string());
    }
    Ok(settings)
}

/// All that was set, for commands that read it more than once: what the machine is to download may only be known after a
/// look at the account.
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    layers: Layers,
}

impl Gathered {
    /// Gathers it.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub(crate) fn new(flags: &launch::Settings, environment: &Environment, ui: &Ui) -> Result<Self, Failure> {
        Ok(Self { layers: layers(flags, environment, ui)? })
    }

    /// Reads it; `programs` are what the machine may download where nothing is named.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub(crate) fn settings(&self, programs: &[EdgeBinary]) -> Result<Settings, Failure> {
        Settings::read(&self.layers, programs).map_err(|errors| explain(&errors))
    }

    /// Whether it says where the edge's program is.
    pub(crate) fn names_a_program(&self) -> bool {
        self.layers.find(Key::EdgeDlUrl).is_some()
    }

    /// Slack's signing secret, where it is the secret itself and not a reference to it.
    pub(crate) fn slack_secret(&self) -> Option<SecretString> {
        let (text, _) = self.layers.find(Key::SlackSigningSecret)?;
        (!SecretReference::is_meant(text)).then(|| SecretString::from(text.to_owned()))
    }

    /// The same with a reference in place of that secret.
    pub(crate) fn with_reference(mut self, reference: &str) -> Self {
        let key = Key::SlackSigningSecret;
        self.layers.put_first(Source::Follows(key), [(key, reference.to_owned())]);
        self
    }
}

/// The first label of the public name, and the key for what is kept of it: all that a secret needs.
///
/// # Errors
///
/// As [`settings`], for these two.
pub(crate) fn host(
    flags: &launch::Settings,
    environment: &Environment,
    ui: &Ui,
) -> Result<(Label, Option<KmsKey>), Failure> {
    let layers = layers(flags, environment, ui)?;
    let host = read(&layers, Key::HostName)?
        .ok_or_else(|| explain(&[SettingError::Missing { key: Key::HostName }]))?;
    Ok((host, read(&layers, Key::KmsKey)?))
}

/// The zone in which names are made.
///
/// # Errors
///
/// As [`settings`], for this one.
pub(crate) fn zone(
    flags: &launch::Settings,
    environment: &Environment,
    ui: &Ui,
) -> Result<ZoneName, Failure> {
    let key = Key::HostedZoneDomain;
    read(&layers(flags, environment, ui)?, key)?.ok_or_else(|| explain(&[SettingError::Missing { key }]))
}

/// Where certificates are kept, and the key for them.
///
/// # Errors
///
/// As [`settings`], for these two.
pub(crate) fn cert_store(
    flags: &launch::Settings,
    environment: &Environment,
    ui: &Ui,
) -> Result<(CertStore, Option<KmsKey>), Failure> {
    let layers = layers(flags, environment, ui)?;
    let store = read(&layers, Key::CertStore)?.unwrap_or(CertStore::Ssm);
    Ok((store, read(&layers, Key::KmsKey)?))
}

/// Whether machines run Caddy.
///
/// # Errors
///
/// When a file of settings is wrong.
pub(crate) fn is_caddy(
    flags: &launch::Settings,
    environment: &Environment,
    ui: &Ui,
) -> Result<bool, Failure> {
    Ok(layers(flags, environment, ui)?.names_caddy())
}

/// The zone in which names are made, where it need not be set.
///
/// # Errors
///
/// When it is set and wrong.
pub(crate) fn zone_if_set(
    flags: &launch::Settings,
    environment: &Environment,
    ui: &Ui,
) -> Result<Option<ZoneName>, Failure> {
    read(&layers(flags, environment, ui)?, Key::HostedZoneDomain)
}

/// The senders of webhooks that `irp.toml` describes.
///
/// # Errors
///
/// When the file is there and wrong.
pub(super) fn senders(environment: &Environment) -> Result<Vec<Sender>, Failure> {
    match named_or(None, usual_toml(environment)) {
        Some(file) => Ok(toml_file::read::<LaunchFile>(&file)?.webhook),
        None => Ok(Vec::new()),
    }
}

fn read<T: FromStr<Err = ValueError>>(layers: &Layers, key: Key) -> Result<Option<T>, Failure> {
    let Some((text, origin)) = layers.find(key) else { return Ok(None) };
    let wrong = |why| explain(&[SettingError::Value { key, origin, text: text.to_owned(), why }]);
    text.parse().map(Some).map_err(wrong)
}

fn layers(flags: &launch::Settings, environment: &Environment, ui: &Ui) -> Result<Layers, Failure> {
    let mut layers = Layers::new(environment.user.clone());
    layers.push(Source::Flag, flags.typed());
    layers.push(Source::Environment, environment::settings());
    if let Some(file) = named_or(flags.env_file.as_deref(), [Some(ENV_FILE.into())]) {
        let variables = variables(&file)?;
        for (name, meant) in slips(&variables) {
            ui.warning(&format!("{}: {name} is no setting of irp; did you mean {meant}?", file.display()));
        }
        let known = variables.into_iter().filter_map(|(name, text)| Some((Key::named(&name)?, text)));
        layers.push(Source::File(file.display().to_string()), known);
    }
    if let Some(file) = named_or(flags.config.as_deref(), usual_toml(environment)) {
        let texts: LaunchFile = toml_file::read(&file)?;
        layers.push(Source::File(file.display().to_string()), texts.texts());
    }
    Ok(layers)
}

/// Where `irp.toml` is looked for.
fn usual_toml(environment: &Environment) -> [Option<PathBuf>; 2] {
    [Some(TOML_FILE.into()), environment.config_dir.as_ref().map(|folder| folder.join(TOML_FILE))]
}

/// The file that was named, which must be there, or the first of the usual ones that is.
fn named_or(named: Option<&Path>, usual: impl IntoIterator<Item = Option<PathBuf>>) -> Option<PathBuf> {
    named.map(Path::to_owned).or_else(|| usual.into_iter().flatten().find(|file| file.is_file()))
}

/// The variables of a file, which stay out of the environment: nothing that irp starts inherits them.
pub(super) fn variables(file: &Path) -> Result<Vec<(String, String)>, Failure> {
    let failed = |error: dotenvy::Error| {
        let failure = Failure::new(Kind::Config, format!("cannot read {}", file.display()));
        match error {
            // The line may hold a secret: only what stands before its value is told.
            dotenvy::Error::LineParse(line, _) => {
                let name: String = line.split('=').next().unwrap_or_default().chars().take(40).collect();
                failure
                    .cause(format!("the line that begins with `{}` does not read as NAME=VALUE", name.trim()))
                    .hint("quote what has a space or a sign in it: NAME='a value'")
            }
            error => failure.because(&error),
        }
    };
    dotenvy::from_path_iter(file).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}

/// Names that are nearly ours.
fn slips(variables: &[(String, String)]) -> Vec<(&str, Key)> {
    let mut found = Vec::new();
    for (name, _) in variables.iter().filter(|(name, _)| Key::named(name).is_none()) {
        let alike = |key: &Key| strsim::jaro_winkler(name, key.name());
        let nearest = Key::all().max_by(|one, other| alike(one).total_cmp(&alike(other)));
        if let Some(key) = nearest.filter(|key| alike(key) >= ALIKE) {
            found.push((name.as_str(), key));
        }
    }
    found
}

fn explain(errors: &[SettingError]) -> Failure {
    let failure = match errors {
        [error] => Failure::new(Kind::Config, error.to_string()),
        _ => errors.iter().fold(
            Failure::new(Kind::Config, format!("{} settings cannot be used", errors.len())),
            |failure, error| failure.cause(error.to_string()),
        ),
    };
    match errors.iter().find(|error| matches!(error, SettingError::Missing { .. })) {
        Some(missing) => {
            let key = missing.key();
            failure.hint(format!("set it in {ENV_FILE}, as {key}=…, or type --{} …", key.flag()))
        }
        None => failure,
    }
}

/// `irp.toml`: each setting by its name in small letters, and senders of webhooks. A secret is none of them: such a
/// file gets shared.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LaunchFile {
    host_name: Option<Scalar>,
    hosted_zone_domain: Option<Scalar>,
    engine: Option<Scalar>,
    edge_dl_url: Option<Scalar>,
    edge_sha256: Option<Scalar>,
    caddy_dl_url: Option<Scalar>,
    caddy_sha256: Option<Scalar>,
    instance_type: Option<Scalar>,
    upstream_port: Option<Scalar>,
    shutdown_timer_hour: Option<Scalar>,
    max_life_hour: Option<Scalar>,
    no_role: Option<Scalar>,
    cert_store: Option<Scalar>,
    kms_key: Option<Scalar>,
    acme_contact: Option<Scalar>,
    acme_staging: Option<Scalar>,
    acme_directory: Option<Scalar>,
    locale: Option<Scalar>,
    timezone: Option<Scalar>,
    webhook: Vec<Sender>,
}

/// A value as people write it in TOML; what is allowed, its setting says.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, a number, true or false")]
enum Scalar {
    Text(String),
    Whole(i64),
    Fraction(f64),
    Switch(bool),
}

impl LaunchFile {
    fn texts(self) -> BTreeMap<Key, String> {
        let all = [
            (Key::HostName, self.host_name),
            (Key::HostedZoneDomain, self.hosted_zone_domain),
            (Key::Engine, self.engine),
            (Key::EdgeDlUrl, self.edge_dl_url),
            (Key::EdgeSha256, self.edge_sha256),
            (Key::CaddyDlUrl, self.caddy_dl_url),
            (Key::CaddySha256, self.caddy_sha256),
            (Key::InstanceType, self.instance_type),
            (Key::UpstreamPort, self.upstream_port),
            (Key::ShutdownTimerHour, self.shutdown_timer_hour),
            (Key::MaxLifeHour, self.max_life_hour),
            (Key::NoRole, self.no_role),
            (Key::CertStore, self.cert_store),
            (Key::KmsKey, self.kms_key),
            (Key::AcmeContact, self.acme_contact),
            (Key::AcmeStaging, self.acme_staging),
            (Key::AcmeDirectory, self.acme_directory),
            (Key::Locale, self.locale),
            (Key::Timezone, self.timezone),
        ];
        let text = |value| match value {
            Scalar::Text(text) => text,
            Scalar::Whole(number) => number.to_string(),
            Scalar::Fraction(number) => number.to_string(),
            Scalar::Switch(on) => on.to_string(),
        };
        all.into_iter().filter_map(|(key, value)| Some((key, text(value?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn irp_toml_has_every_setting_but_the_secret() {
        for key in Key::all() {
            let text = format!("{} = 1\n", key.name().to_ascii_lowercase());
            let texts = toml_file::parse::<LaunchFile>(&text, Path::new(TOML_FILE)).map(LaunchFile::texts);
            match texts {
                Ok(texts) => assert_eq!(texts.get(&key).map(String::as_str), Some("1"), "{key}"),
                Err(failure) => assert!(key.is_secret(), "{key}: {}", failure.message()),
            }
        }
    }

    #[test]
    fn slips_are_told_and_settings_of_others_are_not() {
        let names =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), String::new())).collect::<Vec<_>>();
        assert_eq!(slips(&names(&["HOSTED_ZONE_DOMIAN"])), [("HOSTED_ZONE_DOMIAN", Key::HostedZoneDomain)]);
        assert_eq!(
            slips(&names(&["HOST", "SLACK_BOT_TOKEN", "PORT", "UPSTREAM", "TZ", "HOST_NAME", "EDGE"])),
            []
        );
    }

    #[test]
    fn a_line_that_cannot_be_read_does_not_show_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(ENV_FILE);
        std::fs::write(&file, "HOST_NAME=alice\nSLACK_SIGNING_SECRET=s3cret 's3cret\n").unwrap();
        let failure = variables(&file).unwrap_err();
        assert!(failure.causes()[0].contains("SLACK_SIGNING_SECRET"), "{failure:?}");
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        assert!(variables(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn the_idle_time_means_the_same_here_and_to_the_edge() {
        for text in ["0", "0.5", "1", "8784", "0.0003", ".25", "8785", "0.0001", "x", ""] {
            let here = text.parse::<irp_launch::values::Hours>().map(|hours| hours.duration());
            let edge = text.parse::<irp_edge::idle::IdleAfter>().map(irp_edge::idle::IdleAfter::duration);
            assert_eq!(here.ok(), edge.ok(), "{text}");
        }
    }
}
