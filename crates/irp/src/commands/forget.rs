//! `irp forget NAME`.

use std::process::ExitCode;

use irp_aws::ec2::{Filter, State};
use irp_launch::tags;
use irp_wire::name::Hostname;
use serde_json::json;

use crate::{
    cli::secret::Forget,
    cloud::account::{self, Account, explain},
    config::launch,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// Deletes what the account keeps of a name, once no machine has it any more.
pub(super) async fn run(flags: &Forget, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let (host, name) = names(flags, environment, ui)?;
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

/// The first label and the whole name, of which either may be typed.
fn names(flags: &Forget, environment: &Environment, ui: &Ui) -> Result<(String, Hostname), Failure> {
    let typed = flags.name.trim_start_matches("https://").trim_end_matches(['/', '.']).to_ascii_lowercase();
    let whole = if typed.contains('.') {
        typed
    } else {
        let zone = launch::zone(&flags.settings, environment, ui)?;
        format!("{typed}.{zone}")
    };
    let name: Hostname = whole.parse().map_err(|error| {
        Failure::new(Kind::User, format!("`{}` is no name of a machine", flags.name)).because(&error)
    })?;
    let host = name.as_str().split('.').next().unwrap_or_default().to_owned();
    Ok((host, name))
}

/// A machine that runs would write again what is deleted.
async fn idle(account: &Account, name: &Hostname) -> Result<(), Failure> {
    let filter = [Filter::new(format!("tag:{}", tags::NAME), [name.as_str()])];
    let machines = account.aws.ec2().instances_where(&filter).await.map_err(|error| explain(&error))?;
    match machines.iter().find(|machine| machine.state != State::Terminated) {
        None => Ok(()),
        Some(machine) => Err(Failure::new(
            Kind::User,
            format!("{} is still there for {name}: it has all of it", machine.id),
        )
        .hint("end it first, then type this again")),
    }
}
