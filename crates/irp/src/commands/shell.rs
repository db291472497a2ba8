//! `irp ssh [NAME] [-- COMMAND…]`, and what it shares with `irp logs`: a login of the system's ssh.

use std::{io, process::ExitCode, time::Duration};

use irp_client::ssh::{Entrance as _, Login, PROGRAM, PrivateFolder};
use tokio::{process::Command, time::timeout};

use crate::{
    advice,
    cli::{
        launch::Settings,
        shell::{Shell, Target},
    },
    cloud::{
        account::{self, Account},
        machines::{self, Machine},
        ways::{self, Wish},
    },
    config,
    environment::Environment,
    error::{Failure, Kind},
    exit_status,
    signals::Signals,
    ui::Ui,
};

/// How long ssh may take to end after a signal that it got too.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// Logs in, and runs what was typed.
pub(super) async fn run(flags: &Shell, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let (account, machine) = machine(flags.name.as_deref(), &flags.target, environment, ui).await?;
    let entered = enter(&account, &machine, &flags.target, environment, ui).await?;
    let words: Vec<&str> = flags.command.iter().map(String::as_str).collect();
    let (code, _) = entered.execute(&[], &words, &mut signals).await?;
    Ok(code)
}

/// The machine that is meant.
pub(super) async fn machine(
    name: Option<&str>,
    target: &Target,
    environment: &Environment,
    ui: &Ui,
) -> Result<(Account, Machine), Failure> {
    let name = machines::name(name, &Settings::default(), environment, ui)?;
    let account = account::open(&target.access, ui).await?;
    let machine = machines::serving(&account, &name).await?;
    Ok((account, machine))
}

/// Opens its door.
pub(super) async fn enter(
    account: &Account,
    machine: &Machine,
    target: &Target,
    environment: &Environment,
    ui: &Ui,
) -> Result<Entered, Failure> {
    let wish =
        Wish { via: target.via.into(), ssh: target.ssh.clone(), profile: target.access.profile.clone() };
    let door = ways::shell(account, machine, &wish, environment)?;
    let folder = PrivateFolder::create(&config::state_dir(environment)?)
        .map_err(|error| Failure::new(Kind::Config, "there is no room for a key").because(&error))?;
    let step = ui.step("way", &door.way());
    match door.open(folder.path()).await {
        Ok(login) => {
            step.done(&door.way());
            Ok(Entered { login, folder })
        }
        Err(error) => {
            step.failed();
            Err(ways::explain(&error))
        }
    }
}

/// A machine that lets us in within the next minute.
pub(super) struct Entered {
    login: Login,
    folder: PrivateFolder,
}

impl Entered {
    /// Runs ssh with this terminal, to its end. Says whether a signal ended it.
    pub(super) async fn execute(
        self,
        options: &[&str],
        words: &[&str],
        signals: &mut Signals,
    ) -> Result<(ExitCode, bool), Failure> {
        let arguments = self.login.arguments(self.folder.path(), options).map_err(|error| {
            Failure::new(Kind::Config, "the known hosts cannot be written").because(&error)
        })?;
        let mut ssh = Command::new(PROGRAM);
        let mut child = ssh.args(arguments).args(words).kill_on_drop(true).spawn().map_err(|error| {
            match error.kind() {
                io::ErrorKind::NotFound => {
                    Failure::new(Kind::Config, "there is no ssh on this PC").hint(advice::INSTALL_SSH)
                }
                _ => Failure::new(Kind::Config, "ssh cannot be started").because(&error),
            }
        })?;
        let mut interrupted = false;
        let ended = tokio::select! {
            ended = child.wait() => ended,
            () = signals.next() => {
                interrupted = true;
                // One of the terminal reached ssh as well.
                if let Ok(ended) = timeout(ENDS_WITHIN, child.wait()).await {
                    ended
                } else {
                    // It may have ended this very moment.
                    let _ = child.start_kill();
                    child.wait().await
                }
            }
        };
        let status = ended.map_err(|error| Failure::new(Kind::Internal, "ssh is lost").because(&error))?;
        Ok((exit_status::code(status).into(), interrupted))
    }
}
