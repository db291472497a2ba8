//! `[aws.secrets]`: signing secrets that the machine's role reads from Parameter Store or Secrets Manager, so that none is
//! in a file or in user-data. They are read again every minute and at SIGHUP: a secret that was changed counts soon.
//!
//! What cannot be read closes its paths: the policy stands, without a secret, and everybody who is connected
//! hears of it. A machine that took the secret's absence for "no policy" would let everything in. What could be read
//! once goes on to count while it cannot be read again. Either way it stands among the edge's troubles.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use irp_aws::Aws;
use irp_edge::{
    config::Host,
    http::{access::Access, webhook::Policies},
    notices::Notices,
    troubles::Troubles,
};
use irp_webhook::Provider;
use irp_wire::name::Hostname;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{
        edge_file::aws::{Referred, Secrets},
        policies,
    },
    error::Failure,
};

/// How references to Parameter Store begin; what follows is the path of a parameter.
const PARAMETER: &str = "ssm:";
/// How references to Secrets Manager begin; what follows is the name of a secret.
const SECRET: &str = "secretsmanager:";
/// Parameter Store gives out secrets of Secrets Manager under this path, to whoever may read both.
const BY_WAY_OF: &str = "/aws/reference/secretsmanager/";
/// How often references are read again.
const READ_EVERY: Duration = Duration::from_secs(60);
/// How long the first reading may take: no visitor is served before it, and systemd gives the service 90 s to start.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// The part of the edge that this is, in its list of troubles.
const PART: &str = "signing secrets";

/// The secrets of providers, and the policies that they make.
pub(crate) struct SigningSecrets {
    aws: Aws,
    notices: Notices,
    troubles: Troubles,
    kept: Vec<Kept>,
    now: Arc<Notify>,
}

struct Kept {
    provider: Provider,
    reference: String,
    /// `None` while it could never be read.
    value: Option<SecretString>,
    /// Why it could not be read the last time.
    why: Option<String>,
    policies: Policies,
}

/// Reads what the table names.
///
/// # Errors
///
/// When a secret is of no use for its provider.
pub(crate) async fn read(
    aws: &Aws,
    table: &Secrets,
    notices: &Notices,
    troubles: &Troubles,
) -> Result<SigningSecrets, Failure> {
    let referred = table.referred()?;
    let first = |reference| async move {
        let late = || format!("AWS has not answered within {} s", FIRST_WITHIN.as_secs());
        timeout(FIRST_WITHIN, value_of(aws, reference)).await.unwrap_or_else(|_| Err(late()))
    };
    let values = join_all(referred.iter().map(|it| first(it.reference))).await;
    let mut kept = Vec::new();
    for (Referred { provider, path, reference }, value) in referred.into_iter().zip(values) {
        let name = provider.name();
        if let Err(why) = &value {
            tracing::error!(provider = name, reference, why, "the signing secret cannot be read");
            notices.post(format!(
                "the signing secret {reference} cannot be read ({why}): this edge refuses what {name} sends, until \
                 it can be"
            ));
        }
        let (value, why) = match value {
            Ok(value) => (Some(value), None),
            Err(why) => (None, Some(why)),
        };
        let policies = policies::for_secret(&provider, path, value.as_ref())?;
        kept.push(Kept { provider, reference: reference.to_owned(), value, why, policies });
    }
    let (aws, notices, troubles) = (aws.clone(), notices.clone(), troubles.clone());
    let secrets = SigningSecrets { aws, notices, troubles, kept, now: Arc::default() };
    secrets.tell();
    Ok(secrets)
}

async fn value_of(aws: &Aws, reference: &str) -> Result<SecretString, String> {
    let name = match reference.strip_prefix(SECRET) {
        Some(secret) => format!("{BY_WAY_OF}{secret}"),
        None => reference.strip_prefix(PARAMETER).unwrap_or(reference).to_owned(),
    };
    match aws.ssm().parameter(&name).await {
        Ok(Some(parameter)) if !parameter.value.expose_secret().trim().is_empty() => Ok(parameter.value),
        Ok(Some(_)) => Err("it is empty".into()),
        Ok(None) => Err("there is no such parameter".into()),
        Err(error) => Err(error.to_string()),
    }
}

impl SigningSecrets {
    /// Puts a policy for each secret on all `names`. Rules of the file for the same path go first.
    pub(crate) fn apply(&self, names: &[Hostname], hosts: &mut Vec<Host>) {
        for Kept { policies, .. } in &self.kept {
            for name in names {
                let host = hosts.iter_mut().find(|host| host.name == *name);
                match host {
                    Some(host) => {
                        let both =
                            host.policies.take().map_or_else(|| policies.clone(), |own| own.and(policies));
                        host.policies = Some(both);
                    }
                    None => hosts.push(Host {
                        name: name.clone(),
                        aliases: Vec::new(),
                        access: Access::default(),
                        policies: Some(policies.clone()),
                    }),
                }
            }
        }
    }

    /// What has the secrets read again at once, when it is notified.
    pub(crate) fn again(&self) -> Arc<Notify> {
        Arc::clone(&self.now)
    }

    /// Reads the references again and again, until `stop`.
    pub(crate) async fn follow(mut self, stop: CancellationToken) {
        let now = Arc::clone(&self.now);
        while !self.kept.is_empty() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = now.notified() => {}
                () = sleep(READ_EVERY) => {}
            }
            for kept in &mut self.kept {
                kept.refresh(&self.aws, &self.notices).await;
            }
            self.tell();
        }
    }

    /// Tells what cannot be read at the moment, and what that means.
    fn tell(&self) {
        let missing = self.kept.iter().filter_map(Kept::trouble).collect::<Vec<_>>();
        if missing.is_empty() {
            self.troubles.clear(PART);
        } else {
            self.troubles.set(PART, missing.join("; "));
        }
    }
}

impl Kept {
    fn trouble(&self) -> Option<String> {
        let (why, name) = (self.why.as_ref()?, self.provider.name());
        let meanwhile = if self.value.is_some() {
            "the one that was read before counts".to_owned()
        } else {
            format!("what {name} sends is refused")
        };
        Some(format!("the signing secret {} cannot be read, retrying ({meanwhile}): {why}", self.reference))
    }

    async fn refresh(&mut self, aws: &Aws, notices: &Notices) {
        let (provider, reference) = (self.provider.name(), &self.reference);
        let value = match value_of(aws, reference).await {
            Ok(value) => value,
            Err(why) => {
                tracing::debug!(provider, reference, why, "the signing secret cannot be read again");
                self.why = Some(why);
                return;
            }
        };
        self.why = None;
        if self.value.as_ref().is_some_and(|before| before.expose_secret() == value.expose_secret()) {
            return;
        }
        if let Err(failure) = policies::replace_secret(&self.policies, &value) {
            let why = failure.causes().join(": ");
            return tracing::warn!(provider, reference, why, "the changed signing secret is of no use");
        }
        tracing::info!(provider, reference, "the signing secret was read anew");
        if self.value.is_none() {
            notices
                .post(format!("the signing secret {reference} is there now: what {provider} signs passes"));
        }
        self.value = Some(value);
    }
}
