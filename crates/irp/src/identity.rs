//! Which key proves the person to an edge: a file, or one that an ssh-agent holds.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use irp_client::keys::{
    agent::AgentSigner,
    file::{self, KeyFileError},
};
use irp_wire::key::{PublicKey, Signer};
use secrecy::SecretString;

use crate::{
    config,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// The file name of a key that `irp keygen` makes, in irp's configuration folder.
pub(crate) const KEY_FILE: &str = "id_ed25519";

/// Where to look for the key, as it was typed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// This file.
    pub(crate) file: Option<&'a Path>,
    /// Only the agent.
    pub(crate) agent_only: bool,
    /// Never the agent.
    pub(crate) no_agent: bool,
}

/// Finds the key. A file that the agent holds too is signed for by the agent, which needs no passphrase;
/// without any file it is the agent's first key.
///
/// # Errors
///
/// When there is none, or it cannot be used.
pub(crate) async fn find(
    wish: Wish<'_>,
    environment: &Environment,
    ui: &Ui,
) -> Result<Arc<dyn Signer>, Failure> {
    let agent = environment.ssh_auth_sock.as_deref().filter(|_| !wish.no_agent);
    let file = wish.file.map(Path::to_owned).or_else(|| usual_file(environment));
    if wish.agent_only {
        let Some(socket) = agent else {
            return Err(Failure::new(Kind::Config, "there is no ssh-agent: SSH_AUTH_SOCK is not set")
                .hint("eval \"$(ssh-agent)\" && ssh-add"));
        };
        let wanted = wish.file.map(file::public_half).transpose().map_err(|error| unusable(&error))?;
        return from_agent(socket, wanted).await;
    }
    match (file, agent) {
        (Some(file), agent) => {
            if let (Some(socket), Ok(public)) = (agent, file::public_half(&file))
                && let Ok(signer) = AgentSigner::new(socket, Some(public)).await
            {
                return Ok(Arc::new(signer));
            }
            let key = file::read(&file, |file| passphrase(file, ui)).map_err(|error| unusable(&error))?;
            Ok(Arc::new(key))
        }
        (None, Some(socket)) => from_agent(socket, None).await,
        (None, None) => Err(Failure::new(Kind::Config, "there is no key that could prove who you are")
            .hint("irp keygen")
            .hint("or name one: --key FILE")),
    }
}

/// The public half of the key that [`find`] would take with the same file. Where there is none at all, a key is
/// made now.
///
/// # Errors
///
/// When the key cannot be read or made.
pub(crate) async fn public(
    file: Option<&Path>,
    environment: &Environment,
    ui: &Ui,
) -> Result<PublicKey, Failure> {
    if let Some(file) = file.map(Path::to_owned).or_else(|| usual_file(environment)) {
        return file::public_half(&file).map_err(|error| unusable(&error));
    }
    if let Some(socket) = environment.ssh_auth_sock.as_deref()
        && let Ok(signer) = AgentSigner::new(socket, None).await
    {
        return Ok(signer.public_key());
    }
    let file = config::config_dir(environment)?.join(KEY_FILE);
    let comment = environment.user.clone().unwrap_or_default();
    let key = file::generate(&file, &comment)
        .map_err(|error| Failure::new(Kind::Config, "no key was made").because(&error))?;
    ui.line(&format!("{} is your key, made just now: it never leaves this PC", file.display()));
    Ok(key.public_key())
}

async fn from_agent(socket: &Path, wanted: Option<PublicKey>) -> Result<Arc<dyn Signer>, Failure> {
    let signer = AgentSigner::new(socket, wanted).await.map_err(|error| {
        Failure::new(Kind::Config, "the ssh-agent has no key to use").because(&error).hint("ssh-add")
    })?;
    Ok(Arc::new(signer))
}

/// The key of `irp keygen`, else the one of ssh.
fn usual_file(environment: &Environment) -> Option<PathBuf> {
    let own = config::config_dir(environment).ok().map(|folder| folder.join(KEY_FILE));
    let ssh = environment.home.as_ref().map(|home| home.join(".ssh").join(KEY_FILE));
    own.into_iter().chain(ssh).find(|file| file.is_file())
}

fn passphrase(file: &Path, ui: &Ui) -> Option<SecretString> {
    ui.ask_secret(&format!("Passphrase of {}: ", file.display()))
}

fn unusable(error: &KeyFileError) -> Failure {
    let failure = Failure::new(Kind::Config, "the key is of no use").because(error);
    match error {
        KeyFileError::Read { .. } => failure.hint("irp keygen"),
        KeyFileError::Passphrase { .. } => failure.hint("ssh-add, and the agent signs without asking"),
        _ => failure,
    }
}
