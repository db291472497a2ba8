//! The log: what happens inside, for whoever looks for a fault. It goes to stderr through the [`Ui`].

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{
    error::{Failure, Kind},
    ui::Ui,
};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Says in a filter what is never of use.
const SILENT: &str = "rustls_platform_verifier=off";

/// Starts the log with a filter such as `info` or `irp_edge=debug,info`.
///
/// # Errors
///
/// When the filter does not parse; `named` says where it came from.
pub(crate) fn start(ui: &Ui, filter: &str, format: Format, named: &str) -> Result<(), Failure> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .parse(filter)
        .map_err(|error| Failure::new(Kind::Config, format!("{named} is no log filter")).because(&error))
        .map_err(|failure| failure.hint("a filter looks like `info`, or like `irp_edge=debug,info`"))?
        // It logs each certificate that it refuses as an error, which whoever connects hears all the same.
        .add_directive(SILENT.parse().unwrap_or(LevelFilter::WARN.into()));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(ui.clone()).with_ansi(ui.is_coloured());
    match format {
        Format::Text => builder.init(),
        Format::Json => builder.json().with_ansi(false).init(),
    }
    Ok(())
}
