//! `irp ssh-proxy HOST PORT`: what ssh runs to reach a machine's sshd through Session Manager (its `ProxyCommand`).

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use irp_aws::{Aws, ssm::Session};
use irp_client::{
    keys::file,
    pipe::{CarrierError, Opening, Pipe},
    ssh::HostKeys,
};
use irp_wire::tasks::Tasks;
use tokio::io::copy;

use crate::{
    cli::{launch::Settings, shell::SshProxy},
    cloud::{
        account, machines,
        ways::{self, door, reported, session_manager::SessionManager},
    },
    environment::Environment,
    error::{Failure, Kind},
    signals::{Hangup, Signals},
    ui::{self, Ui},
};

/// The most that a session has, in bytes.
const SESSION_MAX: u64 = 64 * 1024;

/// The most that a file of known hosts has, in bytes; a longer one is begun anew.
const KNOWN_MAX: u64 = 1024 * 1024;

/// How long the program that carries the bytes, and AWS, may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// The port that stands for itself in a file of known hosts.
const SSH_PORT: u16 = 22;

/// Carries bytes until one side ends.
pub(super) async fn run(flags: &SshProxy, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let (mut signals, mut hangup) = (Signals::listen()?, Hangup::listen()?);
    let preparing = async {
        match &flags.session {
            Some(file) => {
                let aws = account::load(&flags.access).await?;
                Ok((sessions(aws, &flags.host, flags), given(file)?))
            }
            None => start(flags, environment, ui).await,
        }
    };
    let (sessions, session) = tokio::select! {
        prepared = preparing => prepared?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
        () = hangup.next() => return Ok(ExitCode::SUCCESS),
    };
    let closed = |error: io::Error| Failure::new(Kind::User, "this is for ssh to run").because(&error);
    let (mut stdin, mut stdout) = (ui::stdin().map_err(closed)?, ui.bytes().map_err(closed)?);
    let tasks = Tasks::new();
    let pipe = Pipe::start(sessions.carry(&session), Opening::Ssh, &tasks)
        .map_err(|error| Failure::new(Kind::Config, "the session cannot be carried").because(&error))?;
    let ended = {
        let (mut from_machine, mut to_machine) = tokio::io::split(pipe);
        tokio::select! {
            // ssh has gone: there is nobody to whom what still comes would matter.
            ended = copy(&mut stdin, &mut to_machine) => ended,
            ended = copy(&mut from_machine, &mut stdout) => ended,
            () = signals.next() => Ok(0),
            () = hangup.next() => Ok(0),
        }
    };
    tasks.shutdown(ENDS_WITHIN).await;
    match ended {
        Ok(_) => Ok(ExitCode::SUCCESS),
        // It is told that way by those who leave first.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => {
            Err(Failure::new(Kind::Network, format!("no way through Session Manager to {}", flags.host))
                .because(&error))
        }
    }
}

/// Starts a session by oneself, for an ssh that knows nothing of irp.
async fn start(
    flags: &SshProxy,
    environment: &Environment,
    ui: &Ui,
) -> Result<(SessionManager, Session), Failure> {
    let (aws, id) = if flags.host.starts_with("i-") {
        (account::load(&flags.access).await?, flags.host.clone())
    } else {
        let name = machines::name(Some(&flags.host), &Settings::default(), environment, ui)?;
        let account = account::find(&flags.access).await?;
        let machine = machines::serving(&account, &name).await?;
        (account.aws, machine.id)
    };
    let failed = |error: CarrierError| ways::explain(&error);
    if let Some(file) = &flags.known_hosts {
        let keys = reported::host_keys(&aws, &id, None).await.map_err(failed)?;
        note(file, &flags.host, flags.port, &keys).map_err(|error| {
            Failure::new(Kind::Config, format!("cannot write {}", file.display())).because(&error)
        })?;
    }
    let sessions = sessions(aws.clone(), &id, flags);
    let session = sessions.start().await.map_err(failed)?;
    if let (Some(file), Some(user)) = (&flags.push_key, &flags.os_user) {
        let key = file::public_half(file)
            .map_err(|error| Failure::new(Kind::Config, "the key is of no use").because(&error))?;
        if let Err(error) = door::push(&aws, &id, user, &key).await {
            sessions.abandon(&session).await;
            return Err(failed(error));
        }
    }
    Ok((sessions, session))
}

fn sessions(aws: Aws, id: &str, flags: &SshProxy) -> SessionManager {
    SessionManager::to(aws, id, flags.port, flags.access.profile.clone())
}

/// Reads the session that another irp has started, and removes the file: it holds a secret.
fn given(file: &Path) -> Result<Session, Failure> {
    let read = || {
        let mut text = Vec::new();
        fs::File::open(file)?.take(SESSION_MAX).read_to_end(&mut text)?;
        fs::remove_file(file)?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    };
    read().map_err(|error| {
        Failure::new(Kind::Internal, format!("cannot read the session in {}", file.display())).because(&error)
    })
}

/// Notes host keys, in the place of those that were noted for this host before. ssh reads the file once the machine
/// says hello, and not a byte has come through by now.
fn note(file: &Path, host: &str, port: u16, keys: &HostKeys) -> io::Result<()> {
    let host = if port == SSH_PORT { host.to_owned() } else { format!("[{host}]:{port}") };
    let mut text = String::new();
    match fs::File::open(file) {
        Ok(old) => {
            // What is no text is no file of known hosts.
            let _ = old.take(KNOWN_MAX).read_to_string(&mut text);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let others = text.lines().filter(|line| line.split_whitespace().next() != Some(host.as_str()));
    let mut new: String = others.map(|line| format!("{line}\n")).collect();
    new.push_str(&keys.known_hosts(&host));
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // Several of us may do this at once: each writes a file of its own, and a whole one is there at any time.
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    fs::write(&fresh, new)?;
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    use irp_wire::key::SecretKey;

    use super::*;

    #[test]
    fn noted_keys_take_the_place_of_those_of_the_same_host() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/known_hosts");
        let key = || SecretKey::generate().unwrap().public_key().to_string();
        let (old, new, other) = (key(), key(), key());
        let note = |host: &str, port, key: &str| {
            note(&file, host, port, &HostKeys::from_lines(key).unwrap()).unwrap();
        };
        note("i-0abc", 22, &old);
        note("i-0abcd", 22, &other);
        note("i-0abc", 2222, &other);
        note("i-0abc", 22, &new);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("i-0abcd {other}\n[i-0abc]:2222 {other}\ni-0abc {new}\n"));
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}
