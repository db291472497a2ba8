//! Which key proves the person to an edge: a file, or one that an ssh-agent holds.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use irp_client::keys::{
    agent::AgentSigner,
    file::{self, KeyFileError},
};
use irp_wire::key::{PublicKey, SecretKey, Signer};
use secrecy::SecretString;

use crate::{
    advice, config,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// The file name of a key that `irp keygen` makes, in irp's configuration folder.
pub(crate) const KEY_FILE: &str = "id_ed25519";

/// The files in `~/.ssh` that ssh takes keys from (`ssh_config(5)`, IdentityFile).
const USUAL_FILES: [&str; 3] = [KEY_FILE, "id_ecdsa", "id_rsa"];

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
                .hint(advice::START_AGENT));
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
    Ok(make(&file, environment, ui)?.public_key())
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

/// The file of irp's own key, made now if there is none: a key without a passphrase, that nobody else uses.
///
/// # Errors
///
/// When it cannot be made.
pub(crate) fn own(environment: &Environment, ui: &Ui) -> Result<PathBuf, Failure> {
    let file = config::config_dir(environment)?.join(KEY_FILE);
    if !file.is_file() {
        make(&file, environment, ui)?;
    }
    Ok(file)
}

fn make(file: &Path, environment: &Environment, ui: &Ui) -> Result<SecretKey, Failure> {
    let comment = environment.user.clone().unwrap_or_default();
    let key = file::generate(file, &comment)
        .map_err(|error| Failure::new(Kind::Config, "no key was made").because(&error))?;
    ui.line(&format!("{} is your key, made just now: it never leaves this PC", file.display()));
    Ok(key)
}

/// The files of keys that an sshd may know: irp's own, and those that ssh looks for.
pub(crate) fn files(environment: &Environment) -> Vec<PathBuf> {
    let own = config::config_dir(environment).ok().map(|folder| folder.join(KEY_FILE));
    let ssh = environment.home.as_ref().map(|home| home.join(".ssh"));
    let usual = ssh.into_iter().flat_map(|folder| USUAL_FILES.map(|file| folder.join(file)));
    own.into_iter().chain(usual).filter(|file| file.is_file()).collect()
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
