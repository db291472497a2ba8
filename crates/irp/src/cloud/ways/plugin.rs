//! AWS's `session-manager-plugin` on this PC: whether it is there, and new enough.

use std::{fmt, io, process::Stdio, time::Duration};

use irp_client::pipe::CarrierError;
use tokio::{process::Command, time::timeout};

use crate::advice;

/// What it is called.
pub(super) const PROGRAM: &str = "session-manager-plugin";

/// The first version that signs its connection, which AWS asks for (its release notes, 19 November 2025).
const OLDEST: Version = Version([1, 2, 764, 0]);

/// How long it may take to tell its version.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// AWS's page about its installation.
const PAGE: &str = "https://docs.aws.amazon.com/systems-manager/latest/userguide/\
                    session-manager-working-with-install-plugin.html";

/// A version as the program tells it, `1.2.764.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version([u32; 4]);

/// Sees to it that it is there and new enough: before a session is started that nobody could carry.
///
/// # Errors
///
/// A lasting one, with what to type.
pub(super) async fn check() -> Result<(), CarrierError> {
    let mut asked = Command::new(PROGRAM);
    asked.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = match timeout(ANSWERS_WITHIN, asked.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(installing(CarrierError::lasting(format!(
                "there is no {PROGRAM} on this PC, which carries the sessions of Session Manager"
            ))));
        }
        Ok(Err(error)) => {
            let message = format!("{PROGRAM} cannot be started");
            return Err(installing(CarrierError::lasting(message).because(error)));
        }
        Err(_) => return Err(CarrierError::passing(format!("{PROGRAM} does not tell its version"))),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match Version::parse(&text) {
        Some(version) if version >= OLDEST => Ok(()),
        Some(version) => Err(installing(CarrierError::lasting(format!(
            "{PROGRAM} on this PC is too old: it is {version}, and AWS asks for {OLDEST} or newer"
        )))),
        None => Err(installing(CarrierError::lasting(format!(
            "{PROGRAM} on this PC tells no version, so it is another program or broken"
        )))),
    }
}

fn installing(error: CarrierError) -> CarrierError {
    error
        .hint(format!("install AWS's current one: {PAGE}"))
        .hint(advice::INSTALL_PLUGIN)
        .hint("or go without it, where a port of the machine is open: --via tls, or --via eic --direct")
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.').map(|part| part.parse().ok());
        let version = Self([parts.next()??, parts.next()??, parts.next()??, parts.next()??]);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.0;
        write!(f, "{major}.{minor}.{patch}.{build}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let version = |text: &str| Version::parse(text);
        assert!(version("1.2.99.0\n") < Some(OLDEST) && version("1.2.1000.0") > Some(OLDEST));
        assert_eq!(version("1.2.764.0").map(|it| it.to_string()), Some(OLDEST.to_string()));
        for text in ["", "1.2.3", "1.2.3.4.5", "1.2.3.x", "v1.2.3.4"] {
            assert_eq!(version(text), None, "{text}");
        }
    }
}
