//! `irp keygen`.

use std::process::ExitCode;

use irp_client::keys::file::{self, KeyFileError};

use crate::{
    cli::Keygen,
    config::config_dir,
    environment::Environment,
    error::{Failure, Kind},
    identity::KEY_FILE,
    ui::Ui,
};

/// Makes the key, and prints its public line.
pub(super) fn run(flags: &Keygen, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let path = match &flags.output {
        Some(path) => path.clone(),
        None => config_dir(environment)?.join(KEY_FILE),
    };
    let comment = flags.comment.clone().or_else(|| environment.user.clone()).unwrap_or_default();
    let key = file::generate(&path, &comment).map_err(|error| explain(&error))?;
    let public = format!("{} {comment}", key.public_key()).trim_end().to_owned();
    if ui.is_for_programs() {
        let fingerprint = key.public_key().fingerprint();
        ui.event("key", &serde_json::json!({ "file": path, "public": public, "fingerprint": fingerprint }));
    } else {
        ui.line(&format!("{} is your key: it never leaves this PC", path.display()));
        ui.line("This line is for `public` of a [[key]] in the edge's configuration:");
        ui.gap();
        ui.result(&public);
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(error: &KeyFileError) -> Failure {
    let failure = Failure::new(Kind::Config, "no key was made").because(error);
    match error {
        KeyFileError::Exists { file } => {
            failure.hint("use it as it is, or name another file: irp keygen --output FILE").hint(format!(
                "its public line is in {}.pub",
                file.display().to_string().trim_end_matches(".pub")
            ))
        }
        _ => failure,
    }
}
