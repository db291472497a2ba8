//! `irp forget NAME`.

use std::process::ExitCode;

use irp_aws::ec2::State;
use irp_wire::name::Hostname;
use serde_json::json;

use crate::{
    cli::secret::Forget,
    cloud::{
        account::{self, Account, explain},
        machines,
    },
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// Deletes what the account keeps of a name, once no machine has it any more.
pub(super) async fn run(flags: &Forget, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let name = machines::name(Some(&flags.name), &flags.settings, environment, ui)?;
    let host = name.as_str().split('.').next().unwrap_or_default().to_owned();
    let account = account::open(&flags.access, ui).await?;
    idle(&account, &name).await?;
    let ssm = account.aws.ssm();
    let mut kept = Vec::new();
    for folder in [format!("/irp/cert/{name}"), format!("/irp/secret/{host}")] {
        let found = ssm.parameters_below(&folder).await.map_err(|error| explain(&error))?;
        kept.extend(found.into_iter().map(|parameter| parameter.name));
    }
    if flags.dry_run {
        for parameter in &kept {
            ui.event("kept", &json!({ "parameter": parameter }));
            ui.line(&format!("would delete  {parameter}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let step = ui.step("forget", "deleting what is kept");
    let deleted = match ssm.delete_parameters(&kept).await {
        Ok(deleted) => deleted,
        Err(error) => {
            step.failed();
            return Err(explain(&error));
        }
    };
    step.done(&format!("{} parameters of {name} deleted", deleted.len()));
    ui.event("forgotten", &json!({ "name": name, "parameters": deleted }));
    if deleted.iter().any(|parameter| parameter.starts_with("/irp/cert/")) {
        ui.line("its certificate is not revoked: nobody has its key any more, and it ends by itself");
    }
    Ok(ExitCode::SUCCESS)
}

/// A machine that runs would write again what is deleted.
async fn idle(account: &Account, name: &Hostname) -> Result<(), Failure> {
    let machines = machines::named(account, name).await?;
    match machines.iter().find(|machine| machine.state != State::Terminated) {
        None => Ok(()),
        Some(machine) => Err(Failure::new(
            Kind::User,
            format!("{} is still there for {name}: it has all of it", machine.id),
        )
        .hint("end it first, then type this again")),
    }
}
