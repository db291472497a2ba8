//! `irp edge --config FILE`.

use std::process::ExitCode;

use crate::{cli::Edge, config::edge_file::EdgeFile, environment::Environment, error::Failure, ui::Ui};

/// Checks the file.
pub(super) fn run(flags: &Edge, _environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let file = EdgeFile::read(&flags.config)?;
    ui.line(&format!("{} is right", flags.config.display()));
    ui.event("checked", &serde_json::json!({ "config": flags.config, "names": file.certificate_names() }));
    Ok(ExitCode::SUCCESS)
}
