//! Engine `caddy`: Caddy from an archive and small scripts; nothing of irp's own runs on the machine.

use super::{
    cloud_config::File,
    machine::{self, unit},
    quote::shell,
};
use crate::{
    policy::folder_in_bucket,
    settings::Settings,
    values::{Artefact, CertStore},
};

const BOOT: &str = include_str!("../../machine/caddy/boot.sh");
const RECORD: &str = include_str!("../../machine/caddy/record.py");
const WATCH: &str = include_str!("../../machine/caddy/watch.py");
const SYSUSERS: &str = include_str!("../../machine/caddy/sysusers.conf");
const CADDY_SERVICE: &str = include_str!("../../machine/caddy/caddy.service");
const RECORD_SERVICE: &str = include_str!("../../machine/caddy/record.service");
const WATCH_SERVICE: &str = include_str!("../../machine/caddy/watch.service");
const WATCH_TIMER: &str = include_str!("../../machine/caddy/watch.timer");
const STORE_SERVICE: &str = include_str!("../../machine/caddy/store.service");
const STORE_KEEP_SERVICE: &str = include_str!("../../machine/caddy/store-keep.service");
const STORE_TIMER: &str = include_str!("../../machine/caddy/store.timer");
const STORE: &str = include_str!("../../machine/caddy/store.sh");
const CADDYFILE: &str = include_str!("../../machine/caddy/Caddyfile");

/// The staging directory of Let's Encrypt.
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// All files of the machine.
pub(super) fn files(settings: &Settings, archive: &Artefact) -> Vec<File> {
    let mut values = String::new();
    for (name, value) in [
        ("CADDY_DL_URL", archive.url.as_str().to_owned()),
        ("CADDY_SHA256", archive.sha256.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("NAME", settings.name.to_string()),
        ("ZONE", settings.zone.value.to_string()),
        ("UPSTREAM_PORT", settings.upstream_port.value.to_string()),
        ("IDLE_S", settings.idle.value.seconds().to_string()),
        ("STORE", s3(settings).unwrap_or_default()),
        ("KMS_KEY", settings.kms_key.as_ref().map(|key| key.value.to_string()).unwrap_or_default()),
    ] {
        values.push_str(&format!("{name}={}\n", shell(&value)));
    }
    let mut files = vec![
        File::plain("/etc/irp/Caddyfile", caddyfile(settings)),
        machine::boot_env(settings, &values),
        File::plain("/etc/sysusers.d/irp.conf", SYSUSERS),
        File::program("/usr/local/lib/irp/record", RECORD),
        File::program("/usr/local/lib/irp/watch", WATCH),
    ];
    files.extend(machine::files(settings, BOOT, ""));
    files.extend([
        unit("irp-record.service", RECORD_SERVICE),
        unit("irp-caddy.service", CADDY_SERVICE),
        unit("irp-watch.service", WATCH_SERVICE),
        unit("irp-watch.timer", WATCH_TIMER),
    ]);
    if s3(settings).is_some() {
        files.extend([
            File::program("/usr/local/lib/irp/store", STORE),
            unit("irp-store.service", STORE_SERVICE),
            unit("irp-store-keep.service", STORE_KEEP_SERVICE),
            unit("irp-store.timer", STORE_TIMER),
        ]);
    }
    files
}

/// Where Caddy's storage is copied to. Only a bucket can hold it: its files are more than a parameter takes.
fn s3(settings: &Settings) -> Option<String> {
    match &settings.cert_store.value {
        CertStore::S3 { bucket, prefix } => {
            Some(format!("s3://{bucket}/{}", folder_in_bucket(&settings.name, true, prefix)))
        }
        CertStore::Ssm | CertStore::File => None,
    }
}

/// The names and numbers in it can hold no character that Caddy gives a meaning.
fn caddyfile(settings: &Settings) -> String {
    let directory = match &settings.acme_directory {
        Some(directory) => Some(directory.value.as_str()),
        None => settings.acme_staging.value.then_some(STAGING),
    };
    let directory = directory.map(|url| format!("\tacme_ca {url}\n"));
    let contact = settings.acme_contact.as_ref().map(|contact| format!("\temail {}\n", contact.value));
    CADDYFILE
        .replace("{directory}\n", &directory.unwrap_or_default())
        .replace("{contact}\n", &contact.unwrap_or_default())
        .replace("{name}", settings.name.as_str())
        .replace("{port}", &settings.upstream_port.value.to_string())
}
