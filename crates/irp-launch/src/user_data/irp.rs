//! Engine `irp`: our own edge, in a hardened unit, with guards that do not need it.

use super::{
    ClientKey,
    cloud_config::File,
    machine::{self, unit},
    quote::toml,
};
use crate::settings::{EdgeBinary, Settings};

const BOOT: &str = include_str!("../../machine/irp/boot.sh");
const SYSUSERS: &str = include_str!("../../machine/irp/sysusers.conf");
const TMPFILES: &str = include_str!("../../machine/irp/tmpfiles.conf");
const EDGE_SERVICE: &str = include_str!("../../machine/irp/edge.service");
const MACHINE_ENDS: &str = include_str!("../../machine/irp/machine-ends.service");
const POWER_PATH: &str = include_str!("../../machine/irp/power.path");
const DEAD_MAN: &str = include_str!("../../machine/irp/dead-man.timer");
const RENEWAL_PATH: &str = include_str!("../../machine/irp/renewal.path");
const RENEWAL_SERVICE: &str = include_str!("../../machine/irp/renewal.service");
const SSHD_ACCOUNT: &str = include_str!("../../machine/irp/sshd-irp.conf");

/// How much longer than the idle time the dead-man timer waits, in seconds: the edge's own timer comes first, and
/// a failing power-off of its is tried for a while.
const DEAD_MAN_MORE: u64 = 3600;

/// All files of the machine.
pub(super) fn files(settings: &Settings, edges: &[EdgeBinary], key: &ClientKey) -> Vec<File> {
    let downloads = machine::downloads("EDGE", edges.iter().map(|edge| (edge.arch, &edge.artefact)));
    let mut files = vec![
        File::plain("/etc/irp/edge.toml", edge_toml(settings, key)),
        File::plain("/etc/irp/authorized_keys", format!("restrict,port-forwarding {}\n", key.line())),
        machine::boot_env(settings, &downloads),
        File::plain("/etc/sysusers.d/irp.conf", SYSUSERS),
        File::plain("/etc/tmpfiles.d/irp.conf", TMPFILES),
    ];
    files.extend(machine::files(settings, BOOT, SSHD_ACCOUNT));
    files.extend([
        unit("irp-edge.service", EDGE_SERVICE),
        unit("irp-machine-ends.service", MACHINE_ENDS),
        unit("irp-power.path", POWER_PATH),
    ]);
    let idle = settings.idle.value.seconds();
    if idle > 0 {
        let dead_man = DEAD_MAN.replace("{seconds}", &(idle + DEAD_MAN_MORE).to_string());
        files.extend([
            unit("irp-dead-man.timer", &dead_man),
            unit("irp-renewal.path", RENEWAL_PATH),
            unit("irp-renewal.service", RENEWAL_SERVICE),
        ]);
    }
    files
}

/// The edge's configuration; `docs/edge.toml` explains the keys.
fn edge_toml(settings: &Settings, key: &ClientKey) -> String {
    let name = toml(settings.name.as_str());
    let mut text = String::from(
        "# Written by irp.\n\
         listen = [\"[::]:443\"]\n\
         state_dir = \"/var/lib/irp\"\n\n\
         [acme]\n",
    );
    // Without a role nobody on the machine may write the TXT record that dns-01 asks for.
    let challenge = if settings.no_role.value { "tls-alpn-01" } else { "dns-01" };
    text.push_str(&format!("challenge = {}\n", toml(challenge)));
    match &settings.acme_directory {
        Some(directory) => text.push_str(&format!("directory = {}\n", toml(directory.value.as_str()))),
        None => text.push_str(&format!("staging = {}\n", settings.acme_staging.value)),
    }
    if let Some(contact) = &settings.acme_contact {
        text.push_str(&format!("contact = {}\n", toml(contact.value.as_str())));
    }
    text.push_str(&format!(
        "\n[[key]]\npublic = {}\nnames = [{name}]\n\n\
         [sshd]\nupstream_port = {}\nnames = [{name}]\nhost_keys = [\"/etc/ssh/ssh_host_ed25519_key.pub\"]\n\n\
         [idle]\nhours = {:?}\non_end = {{ file = \"/run/irp/power-off\" }}\n",
        toml(&key.line()),
        settings.upstream_port.value,
        settings.idle.value.number(),
    ));
    if settings.idle.value.seconds() > 0 {
        text.push_str("renew = \"/run/irp/renewed\"\n");
    }
    if settings.max_life.value.seconds() > 0 {
        text.push_str("ends_at = \"/run/irp/ends-at\"\n");
    }
    text.push_str("\n[aws]\n");
    match settings.no_role.value {
        true => text.push_str("role = false\nrecord = false\n"),
        false => text.push_str(&format!("zone = {}\n", toml(settings.zone.value.name().as_str()))),
    }
    text.push_str(&format!(
        "cert_store = {}\nmachine_ends = \"/run/irp/machine-ends\"\n",
        toml(&settings.cert_store.value.to_string()),
    ));
    if settings.no_role.value {
        return text;
    }
    text.push_str("key_copy = \"/run/irp/keys\"\n");
    if let Some(kms_key) = &settings.kms_key {
        text.push_str(&format!("kms_key = {}\n", toml(kms_key.value.as_str())));
    }
    if let Some(secret) = &settings.slack_secret {
        text.push_str(&format!("\n[aws.secrets]\nslack = {}\n", toml(secret.value.as_str())));
    }
    text
}
