//! Policies for webhooks: from the flags of a client, and from `edge.toml`. Their secrets come from the
//! environment or from files, never from a command line.
//!
//! Slack's signing secret alone, without any flag, switches Slack on for a client.

use std::{fs, path::PathBuf, sync::Arc};

use irp_edge::http::webhook::{self, Path, Policies, PolicyError, Rule};
use irp_webhook::{Provider, Secret, Settings};
use irp_wire::policy::{self, Policy, Row, SecretText};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{
    edge_file::Host,
    secrets::Secrets,
    senders::{self, Named},
};
use crate::{
    cli::forward::Webhooks,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

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
    row: Option<Row>,
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

/// The policies of a client, with their secrets; `None` where there are none. What no flag asked for is told.
///
/// # Errors
///
/// When a provider is not known, its secret is not there, or a path is none.
pub(crate) fn for_flags(
    flags: &Webhooks,
    environment: &Environment,
    ui: &Ui,
) -> Result<Option<Arc<policy::Policies>>, Failure> {
    let secrets = Secrets::of_client();
    let mut verify = flags.verify.clone();
    if verify.is_empty() && !flags.no_verify && has_slack_alone(flags, &secrets, ui)? {
        verify.push(SLACK.to_owned());
    }
    if let (true, Some(flag)) = (verify.is_empty(), flags.beside_verify()) {
        let what = format!("{flag} goes with --verify");
        return Err(Failure::new(Kind::User, what).hint(format!("irp … --verify slack {flag}…")));
    }
    told(&verify, flags, &secrets, environment)
}

/// The same for a machine that verifies Slack by itself where this secret is set: then it is no policy of the client,
/// unless a flag says so.
///
/// # Errors
///
/// As [`for_flags`].
pub(crate) fn with_slack(
    flags: &Webhooks,
    slack: Option<&SecretString>,
    environment: &Environment,
) -> Result<Option<Arc<policy::Policies>>, Failure> {
    if flags.no_verify && slack.is_some() {
        let what = "--no-verify cannot be had: a machine that knows Slack's secret verifies by itself";
        return Err(Failure::new(Kind::User, what).hint("leave SLACK_SIGNING_SECRET out"));
    }
    let secrets = Secrets::of_client().with(Provider::named(SLACK), slack);
    if let (true, None, Some(flag)) = (flags.verify.is_empty(), slack, flags.beside_verify()) {
        let what = format!("{flag} goes with --verify");
        return Err(Failure::new(Kind::User, what).hint(format!("irp … --verify slack {flag}…")));
    }
    told(&flags.verify, flags, &secrets, environment)
}

/// What the edge is told; `None` where that is nothing.
fn told(
    verify: &[String],
    flags: &Webhooks,
    secrets: &Secrets,
    environment: &Environment,
) -> Result<Option<Arc<policy::Policies>>, Failure> {
    if flags.path.is_some() && verify.len() > 1 {
        return Err(Failure::new(Kind::User, "--path goes with one --verify")
            .hint("--verify slack=/slack --verify github=/hooks/github"));
    }
    if verify.is_empty() && flags.open.is_empty() {
        return Ok(None);
    }
    let policies = verify.iter().map(|typed| asked(typed, flags, secrets, environment));
    let told = policy::Policies { policies: policies.collect::<Result<_, _>>()?, open: flags.open.clone() };
    // The edge says the same; but here it can be said at once, and to the one who typed it.
    Policies::from_client(&told).map_err(|error| wrong("--verify cannot be done", &error))?;
    let length = serde_json::to_vec(&told).map_or(usize::MAX, |line| line.len());
    if length > TOLD_MAX {
        return Err(Failure::new(Kind::User, "there are more --verify and --open than an edge takes"));
    }
    Ok(Some(Arc::new(told)))
}

/// The policy of one `--verify PROVIDER[=PATH]`.
fn asked(
    typed: &str,
    flags: &Webhooks,
    secrets: &Secrets,
    environment: &Environment,
) -> Result<Policy, Failure> {
    let (name, path) = match typed.split_once('=') {
        Some((name, path)) => (name, Some(path.to_owned())),
        None => (typed, flags.path.clone()),
    };
    let Named { provider, row, path: usual_path, variable } = senders::named(name, environment)?;
    let is_told = provider.learns_secret() && !flags.pass_handshakes && secrets.find(&variable)?.is_none();
    // What the provider tells in its handshake, the edge learns, or knows already.
    let shared = if is_told { Vec::new() } else { secrets.of(&provider, &variable)? };
    let verify_token = if name == "meta" { secrets.find(META_VERIFY_TOKEN)? } else { None };
    Ok(Policy {
        provider: name.to_owned(),
        path: path.or(usual_path),
        secrets: shared,
        verify_token: verify_token.map(|found| SecretText::new(found.expose())),
        report: flags.report_only,
        handshakes: !flags.pass_handshakes,
        inbox: !flags.no_inbox,
        row,
    })
}

/// Whether Slack's signing secret is there, which alone switches Slack on; says so.
fn has_slack_alone(flags: &Webhooks, secrets: &Secrets, ui: &Ui) -> Result<bool, Failure> {
    let Some(manners) = Provider::named(SLACK).map(|slack| *slack.manners()) else { return Ok(false) };
    let (variable, path) = (manners.variable, manners.path);
    let found = match secrets.find(variable) {
        Ok(found) => found,
        // Nobody asked for anything in this file, which may be another program's.
        Err(failure) => {
            let why = [failure.message()].into_iter().chain(failure.causes().iter().map(String::as_str));
            ui.warning(&format!("{}: a {variable} in it does not count", why.collect::<Vec<_>>().join(": ")));
            return Ok(false);
        }
    };
    // A reference is for the edge, which verifies by itself then.
    let Some(found) = found.filter(|found| !found.is_reference()) else { return Ok(false) };
    let place = &found.place;
    let mode = if flags.report_only { "told, not stopped" } else { "all else is closed" };
    ui.step("webhooks", "looking")
        .done(&format!("slack at {path}, {mode}: {variable} is in {place} (--open PATH, --no-verify)"));
    ui.event("verifying", &json!({ "provider": SLACK, "path": path, "variable": variable, "place": place }));
    Ok(true)
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

/// What `--verify PROVIDER=PATH` of a client would be, with this secret (or several, one a line); while there is none,
/// nothing passes.
///
/// # Errors
///
/// When the path is none, or the secret is of no use for the provider.
pub(crate) fn for_secret(
    provider: &Provider,
    path: Option<&str>,
    secret: Option<&SecretString>,
) -> Result<Policies, Failure> {
    let what = format!("{} of [aws.secrets] is of no use", provider.name());
    let rule = match secret {
        Some(secret) => {
            let secrets = secrets_in(secret.expose_secret());
            Rule::new(provider.clone(), path, &secrets, Settings::default(), false, true)
        }
        None => Rule::closed(provider.clone(), path),
    };
    rule.and_then(|rule| Policies::new(vec![rule], Vec::new())).map_err(|error| wrong(&what, &error))
}

/// Lets this secret (or several, one a line) count in the place of those before.
///
/// # Errors
///
/// When it is of no use for the provider.
pub(crate) fn replace_secret(policies: &Policies, secret: &SecretString) -> Result<(), Failure> {
    let replaced = policies.replace_secrets(&secrets_in(secret.expose_secret()));
    replaced.map_err(|error| wrong("the secret is of no use", &error))
}

fn rule(verify: &Verify, what: &str) -> Result<Rule, Failure> {
    let provider = match &verify.row {
        Some(_) => {
            webhook::provider(&verify.provider, verify.row.as_ref()).map_err(|error| wrong(what, &error))?
        }
        None => known(&verify.provider)?,
    };
    let secrets = match (&verify.secret_file, &verify.secret_env) {
        (Some(file), None) => lines_of(file)?,
        (None, Some(variable)) => {
            let secrets = Secrets::of_edge().of(&provider, variable)?;
            secrets.iter().map(|secret| Secret::new(secret.expose())).collect()
        }
        (None, None) if provider.learns_secret() && verify.handshakes => Vec::new(),
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
    let settings = Settings { verify_token, learn: secrets.is_empty() };
    let report = verify.mode == Mode::Report;
    Rule::new(provider, verify.path.as_deref(), &secrets, settings, report, verify.handshakes)
        .map(|rule| rule.with_inbox(verify.inbox))
        .map_err(|error: PolicyError| wrong(what, &error))
}

/// The provider of the table by this name.
///
/// # Errors
///
/// When there is none; the nearest name is hinted at.
pub(crate) fn known(name: &str) -> Result<Provider, Failure> {
    Provider::named(name).ok_or_else(|| senders::unknown(name, std::iter::empty()))
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
