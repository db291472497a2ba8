//! Policies for webhooks: from the flags of a client, and from `edge.toml`. Their secrets come from the
//! environment or from files, never from a command line.

use std::{fs, path::PathBuf, sync::Arc};

use irp_edge::http::webhook::{Path, Policies, PolicyError, Rule};
use irp_webhook::{Provider, Row, Secret, Settings};
use irp_wire::policy::{self, Policy, SecretText};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::edge_file::Host;
use crate::{
    cli::forward::Webhooks,
    environment,
    error::{Failure, Kind},
};

/// Appended to the name of a variable, it names the secret that was valid before, while secrets are changed.
const OLD: &str = "_OLD";
/// The variable with the word that Meta repeats.
const META_VERIFY_TOKEN: &str = "META_VERIFY_TOKEN";
/// The provider whose secret is a setting of a launch.
pub(crate) const SLACK: &str = "slack";
/// What one control message can hold; see `irp_wire::control::LINE_MAX`.
const TOLD_MAX: usize = irp_wire::control::LINE_MAX - 1024;

/// One provider of a `[[host]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    /// `slack`, `github`, … or a name of one's own, with `row`.
    pub(crate) provider: String,
    /// The path, with all below it.
    path: Option<String>,
    /// A file with one secret a line.
    secret_file: Option<PathBuf>,
    /// A variable with the secret.
    secret_env: Option<String>,
    /// A file with the word that Meta repeats.
    verify_token_file: Option<PathBuf>,
    #[serde(default)]
    mode: Mode,
    #[serde(default = "yes")]
    handshakes: bool,
    /// Whether events are kept while nobody is there to take them.
    #[serde(default = "yes")]
    inbox: bool,
    row: Option<CustomRow>,
}

fn yes() -> bool {
    true
}

/// What becomes of a request that the provider did not sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// It is stopped.
    #[default]
    Enforce,
    /// It passes, and is told.
    Report,
}

/// The signature scheme of a provider that irp does not know; see [`Row`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomRow {
    signature: String,
    format: Option<String>,
    encoding: Option<String>,
    algorithm: Option<String>,
    key: Option<String>,
    template: Option<String>,
    timestamp: Option<String>,
    tolerance: Option<u32>,
    id: Option<String>,
}

/// The policies of flags, with their secrets; `None` where there are none.
///
/// # Errors
///
/// When a provider is not known, its secret is not there, or a path is none.
pub(crate) fn for_flags(flags: &Webhooks) -> Result<Option<Arc<policy::Policies>>, Failure> {
    with_slack(flags, None)
}

/// The same with a signing secret of Slack that was found elsewhere, for when the environment has none.
///
/// # Errors
///
/// As [`for_flags`].
pub(crate) fn with_slack(
    flags: &Webhooks,
    slack: Option<&SecretString>,
) -> Result<Option<Arc<policy::Policies>>, Failure> {
    if flags.verify.is_empty() {
        return Ok(None);
    }
    if flags.path.is_some() && flags.verify.len() > 1 {
        return Err(Failure::new(Kind::User, "--path goes with one --verify")
            .hint("--verify slack=/slack --verify github=/hooks/github"));
    }
    let one = |typed: &String| {
        let (name, path) = match typed.split_once('=') {
            Some((name, path)) => (name, Some(path.to_owned())),
            None => (typed.as_str(), flags.path.clone()),
        };
        let provider = known(name)?;
        let verify_token = if name == "meta" { environment::secret(META_VERIFY_TOKEN) } else { None };
        let secrets = match (from_environment(&provider, provider.manners().variable), slack) {
            (Err(_), Some(slack)) if name == SLACK => vec![SecretText::new(slack.expose_secret())],
            (found, _) => found?,
        };
        Ok::<_, Failure>(Policy {
            provider: name.to_owned(),
            path,
            secrets,
            verify_token: verify_token.map(|token| SecretText::new(token.expose_secret())),
            report: flags.report_only,
            handshakes: !flags.pass_handshakes,
            inbox: !flags.no_inbox,
        })
    };
    let policies = flags.verify.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let told = policy::Policies { policies, open: flags.open.clone() };
    // The edge says the same; but here it can be said at once, and to the one who typed it.
    Policies::from_client(&told).map_err(|error| wrong("--verify cannot be done", &error))?;
    let length = serde_json::to_vec(&told).map_or(usize::MAX, |line| line.len());
    if length > TOLD_MAX {
        return Err(Failure::new(Kind::User, "there are more --verify and --open than an edge takes"));
    }
    Ok(Some(Arc::new(told)))
}

/// The policies of a `[[host]]`; `None` where it has none.
///
/// # Errors
///
/// When one of them does not read, or its secret cannot be read.
pub(crate) fn for_host(host: &Host) -> Result<Option<Policies>, Failure> {
    if host.verify.is_empty() {
        return Ok(None);
    }
    let what = format!("[[host.verify]] of {} is of no use", host.name);
    let rules = host.verify.iter().map(|verify| rule(verify, &what)).collect::<Result<Vec<_>, _>>()?;
    let open = host.open.iter().map(|path| Path::new(path).map_err(|error| wrong(&what, &error)));
    let policies =
        Policies::new(rules, open.collect::<Result<_, _>>()?).map_err(|error| wrong(&what, &error))?;
    Ok(Some(match host.webhook_bytes {
        Some(bytes) => policies.with_body_max(usize::try_from(bytes.get()).unwrap_or(usize::MAX)),
        None => policies,
    }))
}

/// What `--verify PROVIDER` of a client would be, with this secret (or several, one a line).
///
/// # Errors
///
/// When the secret is of no use for the provider.
pub(crate) fn for_secret(provider: &str, secret: &SecretString) -> Result<Policies, Failure> {
    let what = format!("the secret of {provider} in [aws.secrets] is of no use");
    let secrets = secrets_in(secret.expose_secret());
    let rule = Rule::new(known(provider)?, None, &secrets, Settings::default(), false, true);
    rule.and_then(|rule| Policies::new(vec![rule], Vec::new())).map_err(|error| wrong(&what, &error))
}

fn rule(verify: &Verify, what: &str) -> Result<Rule, Failure> {
    let provider = match &verify.row {
        Some(row) => Provider::custom(&verify.provider, &row.row()).map_err(|error| wrong(what, &error))?,
        None => known(&verify.provider)?,
    };
    let secrets = match (&verify.secret_file, &verify.secret_env) {
        (Some(file), None) => lines_of(file)?,
        (None, Some(variable)) => {
            let secrets = from_environment(&provider, variable)?;
            secrets.iter().map(|secret| Secret::new(secret.expose())).collect()
        }
        _ => {
            return Err(Failure::new(Kind::Config, what).hint(format!(
                "one of secret_file and secret_env says where the secret of {} is",
                verify.provider
            )));
        }
    };
    let verify_token = match &verify.verify_token_file {
        Some(file) => lines_of(file)?.into_iter().next(),
        None => None,
    };
    let settings = Settings { verify_token, learn: false };
    let report = verify.mode == Mode::Report;
    Rule::new(provider, verify.path.as_deref(), &secrets, settings, report, verify.handshakes)
        .map(|rule| rule.with_inbox(verify.inbox))
        .map_err(|error: PolicyError| wrong(what, &error))
}

impl CustomRow {
    fn row(&self) -> Row<'_> {
        Row {
            signature: &self.signature,
            format: self.format.as_deref().unwrap_or(Row::PLAIN.format),
            encoding: self.encoding.as_deref().unwrap_or(Row::PLAIN.encoding),
            algorithm: self.algorithm.as_deref().unwrap_or(Row::PLAIN.algorithm),
            key: self.key.as_deref().unwrap_or(Row::PLAIN.key),
            template: self.template.as_deref().unwrap_or(Row::PLAIN.template),
            timestamp: self.timestamp.as_deref().unwrap_or(Row::PLAIN.timestamp),
            tolerance: self.tolerance.unwrap_or(Row::PLAIN.tolerance),
            id: self.id.as_deref().unwrap_or(Row::PLAIN.id),
        }
    }
}

/// The provider of the table by this name.
///
/// # Errors
///
/// When there is none; the nearest name is hinted at.
pub(crate) fn known(name: &str) -> Result<Provider, Failure> {
    Provider::named(name).ok_or_else(|| {
        let shown: String = name.chars().take(40).collect();
        let near = |provider: &&Provider| strsim::jaro_winkler(provider.name(), name) > 0.8;
        let failure = Failure::new(Kind::User, format!("irp knows no webhook provider `{shown}`"));
        let all = Provider::all();
        match all.iter().find(near) {
            Some(provider) => failure.hint(format!("did you mean {}?", provider.name())),
            None => failure
                .hint(all.iter().map(Provider::name).collect::<Vec<_>>().join(", "))
                .hint("`irp edge` takes others too: `row` of a [[host.verify]]"),
        }
    })
}

/// The secret of `variable`, and the one before it.
pub(crate) fn from_environment(provider: &Provider, variable: &str) -> Result<Vec<SecretText>, Failure> {
    let found = [environment::secret(variable), environment::secret(&format!("{variable}{OLD}"))];
    let secrets: Vec<_> =
        found.into_iter().flatten().map(|secret| SecretText::new(secret.expose_secret())).collect();
    if secrets.is_empty() {
        let title = provider.manners().title;
        let whose = if title.is_empty() { provider.name() } else { title };
        return Err(Failure::new(
            Kind::User,
            format!("there is no secret for {whose}: {variable} is not set"),
        )
        .hint(format!("{variable}=… irp …, or an export of it in the shell's own file")));
    }
    Ok(secrets)
}

fn lines_of(file: &PathBuf) -> Result<Vec<Secret>, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::new(Kind::Config, format!("cannot read {}", file.display())).because(&error)
    })?;
    Ok(secrets_in(&text))
}

fn secrets_in(text: &str) -> Vec<Secret> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(Secret::new).collect()
}

fn wrong(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Kind::Config, what).because(error)
}
