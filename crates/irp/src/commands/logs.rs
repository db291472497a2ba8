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
    let (units, main): (&[&str], _) = match engine {
        Engine::Irp => (&["irp-boot", "irp-edge"], "irp-edge"),
        Engine::Caddy => (&["irp-boot", "irp-record", "irp-caddy", "irp-watch", "irp-store"], "irp-caddy"),
    };
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
