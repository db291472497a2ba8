//! `irp generate`.

use std::process::ExitCode;

use irp_launch::user_data::{ClientKey, UserData};

use crate::{
    cli::launch::Generate,
    config::launch,
    environment::Environment,
    error::{Failure, Kind},
    identity,
    ui::Ui,
};

/// Prints the user-data on stdout, and nothing else there.
pub(super) async fn run(flags: &Generate, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let settings = launch::settings(&flags.settings, environment, ui)?;
    let key = identity::public(flags.key.as_deref(), environment, ui).await?;
    let comment = environment.user.clone().unwrap_or_default();
    let data = UserData::render(&settings, &ClientKey { key, comment })
        .map_err(|error| Failure::new(Kind::Config, "no user-data can be made").because(&error))?;
    let (name, engine) = (&settings.name, settings.engine.value.to_string());
    if ui.is_for_programs() {
        ui.event("user-data", &serde_json::json!({ "name": name, "engine": engine, "text": data.text() }));
    } else {
        ui.line(&format!("user-data for {name}, engine {engine}, {} bytes", data.text().len()));
        ui.document(data.text().as_bytes());
    }
    Ok(ExitCode::SUCCESS)
}
