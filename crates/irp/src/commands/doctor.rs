//! `irp doctor`.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    cli::doctor::Doctor,
    cloud::{
        account,
        doctor::{self, Check, Subject, examine},
        resolver,
    },
    config::launch,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// Looks at everything, and tells each thing as soon as it is known.
pub(super) async fn run(flags: &Doctor, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let resolver = match flags.resolver {
        Some(named) => Some(named),
        None => resolver::of_environment(environment)?,
    };
    let mut wrong: Vec<Kind> = Vec::new();
    let mut tell = |check: Check, kind: Kind| {
        if check.ok == Some(false) {
            wrong.push(kind);
        }
        ui.check(&check);
    };
    let settings = match launch::settings_without_program(&flags.settings, environment, ui) {
        Ok(settings) => {
            for check in doctor::settings(&settings) {
                tell(check, Kind::Config);
            }
            Some(settings)
        }
        Err(failure) => {
            tell(Check::failed("settings", &failure), Kind::Config);
            None
        }
    };
    tell(doctor::plugin().await, Kind::Config);
    match account::find(&flags.access).await {
        Ok(account) => {
            let text = format!("{} in account {}", account.caller_arn, account.id);
            tell(Check::good("credentials", text), Kind::Cloud);
            tell(Check::good("region", account.aws.region()), Kind::Cloud);
            tell(doctor::clock(account.aws.clock_ahead_s()), Kind::Config);
            if let Some(settings) = &settings {
                let subject = Subject {
                    account: &account,
                    settings,
                    image: &flags.image,
                    subnet: flags.subnet.as_deref(),
                    has_role: !settings.no_role.value,
                    resolver,
                };
                examine(&subject, |check| tell(check, Kind::Cloud)).await;
            }
        }
        Err(failure) => {
            let kind = failure.kind();
            let is_clock = failure.message().contains("clock");
            tell(Check::failed(if is_clock { "clock" } else { "credentials" }, &failure), kind);
        }
    }
    ui.event("doctor", &json!({ "ok": wrong.is_empty(), "wrong": wrong.len() }));
    match wrong.first() {
        None => Ok(ExitCode::SUCCESS),
        Some(kind) => {
            let told = match wrong.len() {
                1 => "one thing is wrong".to_owned(),
                count => format!("{count} things are wrong"),
            };
            ui.line(&told);
            Ok(kind.exit_code())
        }
    }
}
