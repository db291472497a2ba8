//! `[aws.secrets]`: signing secrets that the machine's role reads from Parameter Store, so that none is in a file or in
//! user-data.
//!
//! What cannot be read closes its paths: the policy stands, with a secret that nobody has, and everybody who is connected
//! hears of it. A machine that took the secret's absence for "no policy" would let everything in.

use std::fmt::Write as _;

use aws_lc_rs::rand;
use irp_aws::Aws;
use irp_edge::{config::Host, http::access::Access, notices::Notices};
use irp_wire::name::Hostname;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    config::{edge_file::aws::Secrets, policies},
    error::{Failure, Kind},
};

/// How references begin; what follows is the path of a parameter.
const SCHEME: &str = "ssm:";

/// The secrets of providers, ready for policies.
pub(crate) struct SigningSecrets(Vec<(&'static str, SecretString)>);

/// Reads what the table names.
///
/// # Errors
///
/// When there is no randomness.
pub(crate) async fn read(aws: &Aws, table: &Secrets, notices: &Notices) -> Result<SigningSecrets, Failure> {
    let mut secrets = Vec::new();
    for (provider, reference) in table.references() {
        let secret = match value_of(aws, reference).await {
            Ok(secret) => secret,
            Err(why) => {
                tracing::error!(provider, reference, why, "the signing secret cannot be read");
                notices.post(format!(
                    "the signing secret {reference} cannot be read ({why}): this edge refuses what {provider} \
                     sends, until its service is started again"
                ));
                nobodys()?
            }
        };
        secrets.push((provider, secret));
    }
    Ok(SigningSecrets(secrets))
}

async fn value_of(aws: &Aws, reference: &str) -> Result<SecretString, String> {
    let name = reference.strip_prefix(SCHEME).unwrap_or(reference);
    match aws.ssm().parameter(name).await {
        Ok(Some(parameter)) if !parameter.value.expose_secret().trim().is_empty() => Ok(parameter.value),
        Ok(Some(_)) => Err("it is empty".into()),
        Ok(None) => Err("there is no such parameter".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn nobodys() -> Result<SecretString, Failure> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Failure::new(Kind::Internal, "this machine has no randomness"))?;
    let text = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Ok(SecretString::from(text))
}

impl SigningSecrets {
    /// Puts a policy for each secret on all `names`. Rules of the file for the same path go first.
    ///
    /// # Errors
    ///
    /// When a secret is of no use for its provider.
    pub(crate) fn apply(&self, names: &[Hostname], hosts: &mut Vec<Host>) -> Result<(), Failure> {
        for (provider, secret) in &self.0 {
            let policies = policies::for_secret(provider, secret)?;
            for name in names {
                let host = hosts.iter_mut().find(|host| host.name == *name);
                match host {
                    Some(host) => {
                        let both =
                            host.policies.take().map_or_else(|| policies.clone(), |own| own.and(&policies));
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
        Ok(())
    }
}
