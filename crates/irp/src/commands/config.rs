//! `irp config ssh`.

use std::{path::Path, process::ExitCode};

use irp_client::ssh::quoting;

use crate::{
    cli::{
        launch::Settings,
        shell::{Config, ConfigCommand, ConfigSsh},
    },
    config::{self, launch},
    environment::{self, Environment},
    error::{Failure, Kind},
    identity,
    ui::Ui,
};

/// Where host keys are noted that machines reported, in irp's state folder.
const KNOWN_HOSTS: &str = "ssh_known_hosts";

/// Prints the settings.
pub(super) fn run(flags: &Config, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let ConfigCommand::Ssh(flags) = &flags.what;
    ui.document(ssh(flags, environment, ui)?.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn ssh(flags: &ConfigSsh, environment: &Environment, ui: &Ui) -> Result<String, Failure> {
    let program = environment::this_program()
        .ok_or_else(|| Failure::new(Kind::Internal, "irp does not know where it is"))?;
    let key = identity::own(environment, ui)?;
    let known_hosts = config::state_dir(environment)?.join(KNOWN_HOSTS);
    // By id it works in every account; by name, a zone must be known.
    let names = launch::zone(&Settings::default(), environment, ui);
    let patterns = match names {
        Ok(zone) => format!("i-* *.{zone}"),
        Err(_) => {
            ui.line("no HOSTED_ZONE_DOMAIN is set: machines are reached by instance id only");
            "i-*".to_owned()
        }
    };
    let word = |path: &Path| quoting::word(&path.display().to_string());
    let mut proxy = format!(
        "{} ssh-proxy %h %p --os-user %r --push-key {} --known-hosts {}",
        word(&program),
        word(&key),
        word(&known_hosts),
    );
    for (flag, value) in [("--profile", &flags.access.profile), ("--region", &flags.access.region)] {
        if let Some(value) = value {
            proxy.push_str(&format!(" {flag} {}", quoting::word(value)));
        }
    }
    let user = &flags.os_user;
    Ok(format!(
        "# irp: to its machines through AWS Session Manager, with a key that EC2 Instance Connect lets in for a minute,\n\
         # and with the host keys that each machine reported to AWS. Written by `irp config ssh`.\n\
         Host {patterns}\n\
         \x20   User {user}\n\
         \x20   IdentityFile {key}\n\
         \x20   IdentitiesOnly yes\n\
         \x20   ProxyCommand {proxy}\n\
         \x20   UserKnownHostsFile {known_hosts}\n\
         \x20   GlobalKnownHostsFile none\n\
         \x20   StrictHostKeyChecking yes\n\
         \x20   UpdateHostKeys no\n\
         \x20   CheckHostIP no\n\
         \x20   ServerAliveInterval 30\n",
        key = quoting::path(&key),
        known_hosts = quoting::path(&known_hosts),
    ))
}
