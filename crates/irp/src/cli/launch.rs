//! What the commands that launch a machine are told: each setting as a flag.

use std::path::PathBuf;

use clap::Args;
use irp_launch::settings::Key;

/// Print the user-data of a machine
#[derive(Args, Debug)]
#[command(long_about = "\
Print the user-data that makes a fresh EC2 machine your edge: it gets the public name, its DNS record and its \
certificate, takes your tunnel, and ends itself when nobody was connected for an hour.

stdout carries the user-data and nothing else. Every setting can be a flag, a variable of the environment, a \
line of .env or a key of irp.toml; what comes first in this list counts. No secret is in user-data: everybody \
on the machine can read it. Your public key is, and is made now if you have none.

With CADDY_DL_URL, or --engine caddy, the machine runs Caddy instead, and you connect with ssh.")]
#[command(after_long_help = "\
Examples:
  irp generate --hosted-zone-domain proxy.example.com > user-data
  irp generate 2>/dev/null | aws ec2 run-instances --launch-template LaunchTemplateName=reverse-proxy \\
      --user-data file:///dev/stdin")]
pub(crate) struct Generate {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// The private key (SSH ed25519) whose public half may connect [default: that of `irp keygen`]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

/// The settings of a launch as flags; [`irp_launch`] says what is allowed in each.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    /// The first label of the public name, HOST_NAME [default: your user name]
    #[arg(long, value_name = "LABEL")]
    host_name: Option<String>,
    /// A public hosted zone of yours, HOSTED_ZONE_DOMAIN
    #[arg(long, value_name = "DOMAIN")]
    hosted_zone_domain: Option<String>,
    /// What runs on the machine: irp or caddy, ENGINE [default: irp, or caddy where CADDY_DL_URL is set]
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    /// Where the machine downloads irp, EDGE_DL_URL
    #[arg(long, value_name = "URL")]
    edge_dl_url: Option<String>,
    /// What that must hash to, EDGE_SHA256
    #[arg(long, value_name = "HEX")]
    edge_sha256: Option<String>,
    /// Where it downloads Caddy, CADDY_DL_URL
    #[arg(long, value_name = "URL")]
    caddy_dl_url: Option<String>,
    /// What that must hash to, CADDY_SHA256
    #[arg(long, value_name = "HEX")]
    caddy_sha256: Option<String>,
    /// The kind of machine, INSTANCE_TYPE
    #[arg(long, value_name = "TYPE")]
    instance_type: Option<String>,
    /// The port of the machine at which forwards of ssh come out, UPSTREAM_PORT [default: 3000]
    #[arg(long, value_name = "PORT")]
    upstream_port: Option<String>,
    /// Hours after the last session until it ends, 0 is never, SHUTDOWN_TIMER_HOUR [default: 1]
    #[arg(long, value_name = "HOURS")]
    shutdown_timer_hour: Option<String>,
    /// Hours after which it ends whatever happens, 0 is never, MAX_LIFE_HOUR [default: 0]
    #[arg(long, value_name = "HOURS")]
    max_life_hour: Option<String>,
    /// The machine has no role in the account, NO_ROLE: this PC sets its record, and certificates are not kept
    #[arg(long)]
    no_role: bool,
    /// Where certificates are kept: ssm, file or s3://BUCKET/PREFIX, CERT_STORE [default: ssm]
    #[arg(long, value_name = "STORE")]
    cert_store: Option<String>,
    /// The KMS key for them, KMS_KEY
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    /// Where the certificate authority may write to, ACME_CONTACT
    #[arg(long, value_name = "EMAIL")]
    acme_contact: Option<String>,
    /// Order from Let's Encrypt's staging directory: certificates that nobody trusts, ACME_STAGING
    #[arg(long)]
    acme_staging: bool,
    /// Order from this authority instead of Let's Encrypt; the image must trust it, ACME_DIRECTORY
    #[arg(long, value_name = "URL")]
    acme_directory: Option<String>,
    /// The machine's language, LOCALE [default: C.UTF-8]
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,
    /// The machine's time zone, TIMEZONE [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Read this file instead of .env
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Read this file instead of irp.toml, which is looked for here and in irp's configuration folder
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Which name is meant: flags of the commands about machines that are there.
#[derive(Args, Debug, Default)]
pub(crate) struct Named {
    /// The public name, or its first label [default: HOST_NAME, else your user name]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    zone: ZoneOf,
}

/// In which zone names are that are typed by their first label.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Settings")]
pub(crate) struct ZoneOf {
    /// The hosted zone of names, HOSTED_ZONE_DOMAIN
    #[arg(long, value_name = "DOMAIN")]
    hosted_zone_domain: Option<String>,
    /// Read this file instead of .env
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Read this file instead of irp.toml, which is looked for here and in irp's configuration folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Named {
    /// What was typed of the settings.
    pub(crate) fn settings(&self) -> Settings {
        self.zone.settings()
    }
}

impl ZoneOf {
    /// What was typed of the settings.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            hosted_zone_domain: self.hosted_zone_domain.clone(),
            env_file: self.env_file.clone(),
            config: self.config.clone(),
            ..Settings::default()
        }
    }
}

impl Settings {
    /// Those that were typed.
    pub(crate) fn typed(&self) -> Vec<(Key, String)> {
        let on = |switch: bool| switch.then(|| "1".to_owned());
        let (staging, no_role) = (on(self.acme_staging), on(self.no_role));
        let typed = [
            (Key::HostName, &self.host_name),
            (Key::HostedZoneDomain, &self.hosted_zone_domain),
            (Key::Engine, &self.engine),
            (Key::EdgeDlUrl, &self.edge_dl_url),
            (Key::EdgeSha256, &self.edge_sha256),
            (Key::CaddyDlUrl, &self.caddy_dl_url),
            (Key::CaddySha256, &self.caddy_sha256),
            (Key::InstanceType, &self.instance_type),
            (Key::UpstreamPort, &self.upstream_port),
            (Key::ShutdownTimerHour, &self.shutdown_timer_hour),
            (Key::MaxLifeHour, &self.max_life_hour),
            (Key::NoRole, &no_role),
            (Key::CertStore, &self.cert_store),
            (Key::KmsKey, &self.kms_key),
            (Key::AcmeContact, &self.acme_contact),
            (Key::AcmeStaging, &staging),
            (Key::AcmeDirectory, &self.acme_directory),
            (Key::Locale, &self.locale),
            (Key::Timezone, &self.timezone),
        ];
        typed.into_iter().filter_map(|(key, text)| Some((key, text.clone()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::*;

    #[test]
    fn every_setting_but_the_secret_is_a_flag() {
        let command = Settings::augment_args(Command::new("irp"));
        for key in Key::all() {
            let argument = command.get_arguments().find(|argument| argument.get_long() == Some(&key.flag()));
            assert_eq!(argument.is_some(), !key.is_secret(), "{key}");
            let help = argument.and_then(|argument| argument.get_help()).map(ToString::to_string);
            assert!(help.is_none_or(|help| help.contains(key.name())), "{key}");
        }
    }
}
