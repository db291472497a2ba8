//! `irp logs [NAME] [-f]`.

use std::process::ExitCode;

use super::shell::{enter, machine};
use crate::{
    cli::shell::Logs,
    cloud::{account::explain, machines::Engine},
    environment::Environment,
    error::{Failure, Kind},
    signals::Signals,
    ui::Ui,
};

/// Shows the journal, or the console.
pub(super) async fn run(flags: &Logs, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let (account, machine) = machine(flags.name.as_deref(), &flags.target, environment, ui).await?;
    if flags.console {
        let output = account.aws.ec2().console_output(&machine.id).await.map_err(|error| explain(&error))?;
        if output.text.is_empty() {
            return Err(Failure::new(
                Kind::Cloud,
                format!("AWS has nothing of the console of {} yet", machine.id),
            )
            .hint("it comes a minute or two after the launch"));
        }
        ui.document(output.text.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    let entered = enter(&account, &machine, &flags.target, environment, ui)
        .await
        .map_err(|failure| failure.hint(format!("without a login: irp logs {} --console", machine.name)))?;
    let script = script(machine.engine, flags.lines, flags.follow);
    let (code, interrupted) = entered.execute(&["-T"], &[script.as_str()], &mut signals).await?;
    // Ctrl-C is how one stops to follow.
    Ok(if interrupted && flags.follow { ExitCode::SUCCESS } else { code })
}

/// What the shell of the machine runs. Its account reads the journal with sudo, where it may use that.
fn script(engine: Engine, lines: u32, follow: bool) -> String {
    let units = units(engine);
    let main = units[0];
    let units: String = units.iter().map(|unit| format!(" -u {unit}")).collect();
    let follow = if follow { " --follow" } else { "" };
    format!(
        "if sudo -n true 2>/dev/null; then sudo='sudo -n'; else sudo=; fi; \
         if ! systemctl is-active --quiet {main}; then \
         echo '{main} does not run; the last lines of cloud-init:'; \
         $sudo tail -n 50 /var/log/cloud-init-output.log; echo; fi; \
         exec $sudo journalctl --no-pager --output=short-iso --lines={lines}{follow}{units}"
    )
}

/// What runs there: the engine first, then what helps it and what ends the machine.
fn units(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Irp => &["irp-edge", "irp-boot", "irp-machine-ends", "irp-power"],
        Engine::Caddy => {
            &["irp-caddy", "irp-boot", "irp-record", "irp-watch", "irp-store", "irp-store-keep", "irp-power"]
        }
    }
}

#[cfg(test)]
mod tests {
    use irp_launch::{
        settings::{Key, Layers, Settings, Source},
        user_data::{ClientKey, UserData},
    };

    use super::*;

    /// The files of a machine with these settings.
    fn files(texts: &[(Key, &str)]) -> Vec<String> {
        let common = [(Key::HostName, "alice"), (Key::HostedZoneDomain, "proxy.example.com")];
        let mut layers = Layers::new(None);
        let texts = common.iter().chain(texts).map(|(key, text)| (*key, (*text).to_owned()));
        layers.push(Source::File(".env".into()), texts);
        let settings = Settings::read(&layers, &[]).unwrap();
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8cU9WHIxFEGvIhVyFDuYtEKKyNi4BGRWXDZZ2kTmIe";
        let key = ClientKey { key: key.parse().unwrap(), comment: String::new() };
        let data = UserData::render(&settings, &key).unwrap();
        data.files().iter().map(|file| file.path.clone()).collect()
    }

    #[test]
    fn every_unit_whose_journal_is_shown_is_on_the_machine() {
        let hash = "a".repeat(64);
        let edge = [(Key::EdgeDlUrl, "https://example.com/irp-arm64"), (Key::EdgeSha256, hash.as_str())];
        let caddy = [
            (Key::CaddyDlUrl, "https://example.com/caddy_linux_arm64.tar.gz"),
            (Key::CertStore, "s3://my-bucket/certs"),
        ];
        for (engine, files) in [(Engine::Irp, files(&edge)), (Engine::Caddy, files(&caddy))] {
            for unit in units(engine) {
                assert!(files.contains(&format!("/etc/systemd/system/{unit}.service")), "{unit}: {files:?}");
            }
        }
    }
}
