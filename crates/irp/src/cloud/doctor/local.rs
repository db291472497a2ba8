//! What is on this PC: settings with their sources, and the plugin for sessions.

use std::{process::Stdio, time::Duration};

use irp_launch::settings::Settings;
use tokio::{process::Command, time::timeout};

use super::Check;
use crate::advice;

/// The program that carries the bytes of a session of Systems Manager.
const PLUGIN: &str = "session-manager-plugin";

/// Older ones do not sign their connection, and are turned away.
const PLUGIN_OLDEST: [u32; 3] = [1, 2, 764];

/// A clock that is kept by anybody is not off by more seconds than that; the answer takes some itself.
const CLOCK_OFF_S: u64 = 60;

/// How long it may take to tell its version.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Each setting with the place where it came from.
pub(crate) fn settings(settings: &Settings) -> Vec<Check> {
    let shown = settings.shown().into_iter();
    shown.map(|(key, text, source)| Check::good("setting", format!("{key}={text}  ({source})"))).collect()
}

/// How far the clock here is from that of AWS, which takes no signature that is more than five minutes off.
pub(crate) fn clock(ahead_s: Option<i64>) -> Check {
    const CHECK: &str = "clock";
    let Some(ahead) = ahead_s else {
        return Check::good(CHECK, "within five minutes of that of AWS, which took our signature");
    };
    let off = ahead.unsigned_abs();
    if off <= CLOCK_OFF_S {
        return Check::good(CHECK, format!("within {} s of that of AWS", off.max(1)));
    }
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    Check::bad(CHECK, format!("{off} s {direction} that of AWS; with more than 300 s nothing works"))
        .mend(advice::SET_CLOCK)
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
    fn a_clock_that_nobody_keeps_is_told_before_it_is_refused() {
        assert_eq!(clock(None).ok, Some(true));
        assert_eq!(clock(Some(-3)).text, "within 3 s of that of AWS");
        let wrong = clock(Some(-200));
        assert!(wrong.ok == Some(false) && wrong.text.starts_with("200 s behind"), "{wrong:?}");
    }

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
