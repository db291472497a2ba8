//! `[[webhook]]` tables of `irp.toml`: senders that irp does not know, each with a row of its own.

use irp_edge::http::webhook;
use irp_webhook::Provider;
use irp_wire::policy::Row;
use serde::Deserialize;

use super::launch;
use crate::{
    environment::Environment,
    error::{Failure, Kind},
};

/// One table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sender {
    /// The name, which `--verify` takes.
    provider: String,
    /// The path that it calls.
    path: Option<String>,
    /// The variable with the secret.
    secret_env: Option<String>,
    row: Row,
}

/// Whom `--verify` or `irp sign` names.
pub(crate) struct Named {
    /// The provider.
    pub(crate) provider: Provider,
    /// Its row, where it is none of irp's table.
    pub(crate) row: Option<Row>,
    /// The path that its table says it calls.
    pub(crate) path: Option<String>,
    /// The variable with its secret.
    pub(crate) variable: String,
}

/// Looks for a provider in irp's table, then in `irp.toml`.
///
/// # Errors
///
/// When there is none of this name, or the file is wrong.
pub(crate) fn named(name: &str, environment: &Environment) -> Result<Named, Failure> {
    if let Some(provider) = Provider::named(name) {
        let variable = provider.manners().variable.to_owned();
        return Ok(Named { provider, row: None, path: None, variable });
    }
    let senders = launch::senders(environment)?;
    let Some(sender) = senders.iter().find(|sender| sender.provider == name) else {
        return Err(unknown(name, senders.iter().map(|sender| sender.provider.as_str())));
    };
    let provider = webhook::provider(name, Some(&sender.row)).map_err(|error| {
        Failure::new(Kind::Config, format!("[[webhook]] {name} of {} is of no use", launch::TOML_FILE))
            .because(&error)
    })?;
    Ok(Named {
        provider,
        row: Some(sender.row.clone()),
        path: sender.path.clone(),
        variable: sender.secret_env.clone().unwrap_or_else(|| usual_variable(name)),
    })
}

/// `ACME_WEBHOOK_SECRET` for `acme`.
fn usual_variable(name: &str) -> String {
    format!("{}_WEBHOOK_SECRET", name.to_ascii_uppercase().replace('-', "_"))
}

/// Nobody is called so; the nearest name is hinted at.
pub(super) fn unknown<'s>(name: &'s str, own: impl Iterator<Item = &'s str>) -> Failure {
    let shown: String = name.chars().take(40).collect();
    let failure = Failure::new(Kind::User, format!("irp knows no webhook provider `{shown}`"));
    let mut all: Vec<&str> = own.chain(Provider::all().iter().map(Provider::name)).collect();
    let near = all.iter().find(|known| strsim::jaro_winkler(known, name) > 0.8);
    match near {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => {
            all.sort_unstable();
            failure
                .hint(all.join(", "))
                .hint("describe another one: [[webhook]] in irp.toml, docs/webhooks/standards.md")
        }
    }
}
