//! What both engines need on the machine.

use super::{cloud_config::File, quote::shell};
use crate::{
    settings::Settings,
    values::{Arch, Artefact},
};

const COMMON: &str = include_str!("../../machine/both/common.sh");
const BOOT_SERVICE: &str = include_str!("../../machine/both/boot.service");
const POWER_SERVICE: &str = include_str!("../../machine/both/power.service");
const LOGIN: &str = include_str!("../../machine/both/login.conf");
const SSHD: &str = include_str!("../../machine/both/sshd.conf");
const SSHD_IMAGE: &str = include_str!("../../machine/both/sshd-image.conf");

/// A unit of systemd.
pub(super) fn unit(name: &str, text: &str) -> File {
    File::plain(format!("/etc/systemd/system/{name}"), text)
}

/// The script that prepares the machine, its unit and the rules for who logs in. `steps` is the engine's part of
/// the script, `account` its part of sshd's rules.
pub(super) fn files(settings: &Settings, steps: &str, account: &str) -> Vec<File> {
    let port = settings.upstream_port.value.to_string();
    let sshd = format!("{SSHD}{account}{SSHD_IMAGE}").replace("{port}", &port);
    vec![
        File::program("/usr/local/lib/irp/boot", format!("{COMMON}{steps}")),
        // In front of the image's own files: what sshd reads first counts.
        File::plain("/etc/ssh/sshd_config.d/10-irp.conf", sshd),
        unit("user-.slice.d/10-irp.conf", LOGIN),
        unit("irp-boot.service", BOOT_SERVICE),
        unit("irp-power.service", POWER_SERVICE),
    ]
}

/// The values of the scripts, as assignments of a shell.
pub(super) fn boot_env(settings: &Settings, more: &str) -> File {
    let text = format!(
        "# Written by irp: the values of its scripts.\n\
         MAX_LIFE_S={}\nTIMEZONE={}\nLOCALE={}\n{more}",
        settings.max_life.value.seconds(),
        shell(settings.timezone.value.as_str()),
        shell(settings.locale.value.as_str()),
    );
    File::plain("/etc/irp/boot.env", text)
}

/// Assignments of what to download, by the machine's processor. Where there is nothing, the URL is empty.
pub(super) fn downloads<'a>(
    prefix: &str,
    choices: impl IntoIterator<Item = (Option<Arch>, &'a Artefact)>,
) -> String {
    let mut text = format!("{prefix}_DL_URL=\n{prefix}_SHA256=\ncase $(uname -m) in\n");
    for (arch, artefact) in choices {
        let hash = artefact.sha256.as_ref().map_or("", |hash| hash.as_str());
        text.push_str(&format!(
            "{})\n    {prefix}_DL_URL={}\n    {prefix}_SHA256={}\n    ;;\n",
            arch.map_or("*", Arch::uname),
            shell(artefact.url.as_str()),
            shell(hash),
        ));
    }
    text.push_str("esac\n");
    text
}
