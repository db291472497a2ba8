//! `irp secret put PROVIDER`.

use std::{
    io::{self, IsTerminal as _, Read as _},
    process::ExitCode,
};

use irp_aws::ssm::{Overwrite, PutParameter, STANDARD_MAX, Sort};
use irp_launch::values::{KmsKey, Label, SecretReference};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::{
    cli::secret::{Put, Secret, SecretCommand},
    cloud::account::{self, Account, explain},
    config::{launch, policies},
    environment::{self, Environment},
    error::{Failure, Kind},
    ui::Ui,
};

/// Runs the subcommand.
pub(super) async fn run(flags: &Secret, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let SecretCommand::Put(flags) = &flags.command;
    put(flags, environment, ui).await
}

async fn put(flags: &Put, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let provider = policies::known(&flags.provider)?;
    let (host, kms_key) = launch::host(&flags.settings, environment, ui)?;
    let secret = secret(flags, provider.manners().variable, ui)?;
    let account = account::open(&flags.access, ui).await?;
    let name = store(&account, &host, provider.name(), &secret, kms_key.as_ref(), ui).await?;
    if provider.name() == "slack" {
        let scheme = SecretReference::SCHEME;
        ui.line(&format!("the machine reads it with SLACK_SIGNING_SECRET={scheme}{name} in .env"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Stores the signing secret of a provider for a host, and gives the name of its parameter.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(super) async fn store(
    account: &Account,
    host: &Label,
    provider: &str,
    secret: &SecretString,
    kms_key: Option<&KmsKey>,
    ui: &Ui,
) -> Result<String, Failure> {
    let name = format!("/irp/secret/{host}/{provider}");
    let step = ui.step("secret", "storing it");
    let sort = Sort::Secure(kms_key.map(KmsKey::as_str));
    let put = PutParameter { name: &name, value: secret, sort, overwrite: Overwrite::Yes };
    let version = match account.aws.ssm().put_parameter(&put).await {
        Ok(version) => version,
        Err(error) => {
            step.failed();
            return Err(explain(&error));
        }
    };
    step.done(&format!("{name}, version {version}"));
    ui.event("secret", &json!({ "parameter": name, "version": version }));
    Ok(name)
}

/// From the variable, from stdin, or from the person.
fn secret(flags: &Put, usual: &str, ui: &Ui) -> Result<SecretString, Failure> {
    let variable = flags.env.as_deref().unwrap_or(usual);
    let found = environment::secret(variable);
    if let (None, Some(named)) = (&found, &flags.env) {
        return Err(Failure::new(Kind::User, format!("{named} is not set"))
            .hint(format!("{named}=… irp secret put …")));
    }
    let found = match found {
        // A reference in the usual variable says where the secret is to be.
        Some(text) if flags.env.is_none() && SecretReference::is_meant(text.expose_secret()) => None,
        other => other,
    };
    let secret = match found {
        Some(secret) => secret,
        None if io::stdin().is_terminal() => ui
            .ask_secret(&format!("The signing secret of {}: ", flags.provider))
            .ok_or_else(|| nothing(variable))?,
        None => piped()?,
    };
    let trimmed = SecretString::from(secret.expose_secret().trim().to_owned());
    match trimmed.expose_secret() {
        "" => Err(nothing(variable)),
        text if SecretReference::is_meant(text) => {
            Err(Failure::new(Kind::User, format!("{variable} holds a reference, and not the secret itself")))
        }
        text if text.len() > STANDARD_MAX => {
            Err(Failure::new(Kind::User, "the secret is longer than a parameter can be"))
        }
        _ => Ok(trimmed),
    }
}

fn nothing(variable: &str) -> Failure {
    Failure::new(Kind::User, "there is no secret")
        .hint(format!("{variable}=… irp secret put …"))
        .hint("irp secret put … < FILE")
}

fn piped() -> Result<SecretString, Failure> {
    let mut text = String::new();
    let most = u64::try_from(STANDARD_MAX).unwrap_or(u64::MAX) + 2;
    let read = io::stdin().lock().take(most).read_to_string(&mut text);
    read.map_err(|error| Failure::new(Kind::User, "stdin cannot be read").because(&error))?;
    Ok(SecretString::from(text))
}
