//! `irp connect HOST[:PORT] UPSTREAM`: to an edge by its name, or to a machine in the AWS account.

use std::process::ExitCode;

use irp_client::{ClientConfig, Roots, RunError, STREAM_WINDOW, Timeouts};
use irp_wire::name::Hostname;

use super::{
    enrolment::{Enrolment, Next},
    program::{self, Program},
    tunnel::{self, Ended, Leave, Screen},
};
use crate::{
    cli::{
        forward::{Connect, EdgeAddress},
        launch::Settings,
    },
    cloud::{
        account::{self, Account},
        machines::{self, Machine},
        ways::{self, Client, Wish},
    },
    config::{
        client::{self, Forwarding},
        launch, policies,
    },
    environment::Environment,
    error::Failure,
    identity,
    signals::{QUIT_CODE, Signals},
    ui::Ui,
};

/// Runs the client until it is told to leave, or coming back is pointless.
pub(super) async fn run(flags: Connect, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let program = Program::wanted(flags.forward.program.clone(), Some(&flags.upstream)).await?;
    let upstream = flags.upstream.to_string();
    let (client, machine) = tokio::select! {
        prepared = prepare(flags, environment, ui) => prepared?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let url = url(&client);
    program::beside(program, &url, &mut signals, ui, async |signals, ui| {
        let key = client.public_key();
        let mut enrolment =
            machine.as_ref().map(|(account, machine)| Enrolment::of(account, &machine.id, &key));
        loop {
            let hint = client.note().map(str::to_owned);
            let screen = Screen { hint, ..Screen::new(&upstream, None) };
            let nothing = std::future::pending();
            match (
                tunnel::keep(client.clone(), screen, Leave::at_once(), signals, ui, nothing).await,
                &mut enrolment,
            ) {
                (Ended::GaveUp(RunError::Refused(refusal)), Some(enrolment))
                    if Enrolment::is_wanted(&refusal) =>
                {
                    if enrolment.answer(refusal, signals, ui).await? == Next::Leave {
                        return Ok(QUIT_CODE.into());
                    }
                }
                (ended, _) => return tunnel::concluded(ended, &key),
            }
        }
    })
    .await
}

/// The public URL of the first name.
fn url(client: &Client) -> String {
    match client {
        Client::Native(config) => {
            let host = config.names.first().unwrap_or(&config.host).clone();
            format!("https://{}", EdgeAddress { host, port: config.port })
        }
        Client::Ssh(config) => config.urls.first().cloned().unwrap_or_default(),
    }
}

/// The client, and its machine where that is in the AWS account.
async fn prepare(
    flags: Connect,
    environment: &Environment,
    ui: &Ui,
) -> Result<(Client, Option<(Account, Machine)>), Failure> {
    let place = place(&flags, environment, ui);
    let host = match place {
        Place::Named => flags.edge.host.clone(),
        Place::Account | Place::AccountOrNamed => {
            machines::name(Some(flags.edge.host.as_str()), &Settings::default(), environment, ui)?
        }
    };
    let found = match place {
        Place::Named => None,
        Place::Account => Some(machine(&flags, &host, ui).await?),
        Place::AccountOrNamed => match machine(&flags, &host, ui).await {
            Ok(found) => Some(found),
            Err(failure) => {
                ui.warning(&format!("{}: the edge is dialled by its name", failure.message()));
                None
            }
        },
    };
    let wish = Wish {
        via: flags.via.unwrap_or_default(),
        ssh: flags.ssh.clone(),
        profile: flags.access.profile.clone(),
    };
    if found.is_some() && !flags.agent {
        // To a machine that ssh leads to, no key of one's own is needed beforehand.
        identity::public(flags.key.as_deref(), environment, ui).await?;
    }
    let config = config(flags, host, environment, ui).await?;
    let client = match &found {
        Some((account, machine)) => ways::client(account, machine, &wish, config, environment)?,
        None => config.into(),
    };
    Ok((client, found))
}

/// Where an edge is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Where its name leads.
    Named,
    /// In the AWS account.
    Account,
    /// In the AWS account, and if it is not there, where its name leads.
    AccountOrNamed,
}

fn place(flags: &Connect, environment: &Environment, ui: &Ui) -> Place {
    let host = &flags.edge.host;
    if flags.via.is_some() || !host.as_str().contains('.') {
        return Place::Account;
    }
    if flags.connect_to.is_some() {
        return Place::Named;
    }
    // Settings that cannot be read are of no matter to whoever types a whole name.
    let zone = launch::zone(&Settings::default(), environment, ui).ok();
    match zone.is_some_and(|zone| is_in(host, zone.name())) {
        true => Place::AccountOrNamed,
        false => Place::Named,
    }
}

fn is_in(host: &Hostname, zone: &Hostname) -> bool {
    host.as_str().strip_suffix(zone.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

/// The machine of a name.
async fn machine(flags: &Connect, host: &Hostname, ui: &Ui) -> Result<(Account, Machine), Failure> {
    let account = account::open(&flags.access, ui).await?;
    let step = ui.step("machine", "looking for it");
    match machines::serving(&account, host).await {
        Ok(machine) => {
            let address = machine.address().map(|address| format!("  {address}")).unwrap_or_default();
            step.done(&format!("{}  {}{address}", machine.id, machine.instance_type));
            Ok((account, machine))
        }
        Err(failure) => {
            step.failed();
            Err(failure.hint(
                "to an edge elsewhere: irp connect HOST UPSTREAM, with its whole name and without --via",
            ))
        }
    }
}

async fn config(
    flags: Connect,
    host: Hostname,
    environment: &Environment,
    ui: &Ui,
) -> Result<ClientConfig, Failure> {
    let wish =
        identity::Wish { file: flags.key.as_deref(), agent_only: flags.agent, no_agent: flags.no_agent };
    let signer = identity::find(wish, environment, ui).await?;
    let forwarding = Forwarding::from(&flags.forward);
    let names = if flags.names.is_empty() { vec![host.clone()] } else { flags.names };
    Ok(ClientConfig {
        host,
        port: flags.edge.port,
        connect_to: flags.connect_to,
        carrier: None,
        names,
        signer,
        roots: flags.cacert.map_or(Roots::System, Roots::SystemAnd),
        known_edges: client::known_edges(environment)?,
        upstream: flags.upstream,
        upstream_trust: forwarding.trust,
        host_header: forwarding.host_header,
        lanes_max: forwarding.lanes_max,
        stream_window: STREAM_WINDOW,
        timeouts: Timeouts::default(),
        policies: policies::for_flags(&flags.webhooks, environment, ui)?,
        proxy: client::proxy(environment)?,
        agent: client::AGENT.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_a_zone_by_whole_labels() {
        let is_in = |host: &str, zone: &str| is_in(&host.parse().unwrap(), &zone.parse().unwrap());
        assert!(is_in("alice.proxy.example.com", "proxy.example.com"));
        assert!(!is_in("notproxy.example.com", "proxy.example.com"));
        assert!(!is_in("proxy.example.com", "proxy.example.com"));
    }
}
