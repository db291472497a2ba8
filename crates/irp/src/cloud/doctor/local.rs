//! What is on this PC: settings with their sources, and the plugin for sessions.

use std::{process::Stdio, time::Duration};

use irp_launch::settings::Settings;
use tokio::{process::Command, time::timeout};

use super::Check;

/// The program that carries the bytes of a session of Systems Manager.
const PLUGIN: &str = "session-manager-plugin";

/// Older ones do not sign their connection, and are turned away.
const PLUGIN_OLDEST: [u32; 3] = [1, 2, 764];

/// How long it may take to tell its version.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Each setting with the place where it came from.
pub(crate) fn settings(settings: &Settings) -> Vec<Check> {
    let shown = settings.shown().into_iter();
    shown.map(|(key, text, source)| Check::good("setting", format!("{key}={text}  ({source})"))).collect()
}

/// The plugin, and whether it is new enough.
pub(crate) async fn plugin() -> Check {
    const CHECK: &str = "plugin";
    let mut command = Command::new(PLUGIN);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let version = match timeout(TOLD_WITHIN, command.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(Err(_)) => {
            return Check::unknown(
                CHECK,
                format!("{PLUGIN} is not here: connections through Session Manager need it"),
            )
            .mend("install it as AWS says: “Install the Session Manager plugin for the AWS CLI”");
        }
        Err(_) => {
            return Check::bad(CHECK, format!("{PLUGIN} does not tell its version")).mend("install it again");
        }
    };
    judge(&version)
}

fn judge(version: &str) -> Check {
    const CHECK: &str = "plugin";
    let numbers: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
    if numbers.is_empty() {
        return Check::unknown(CHECK, format!("{PLUGIN} is here, of an unknown version"));
    }
    if numbers.as_slice() < PLUGIN_OLDEST.as_slice() {
        return Check::bad(CHECK, format!("{PLUGIN} {version} is too old: AWS turns it away"))
            .mend("install the newest, at least 1.2.764.0");
    }
    Check::good(CHECK, format!("{PLUGIN} {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_plugin_is_told() {
        for (version, ok) in [
            ("1.2.896.0", Some(true)),
            ("1.2.764.0", Some(true)),
            ("1.3.0", Some(true)),
            ("1.2.463.0", Some(false)),
            ("?", None),
        ] {
            assert_eq!(judge(version).ok, ok, "{version}");
        }
    }
}
