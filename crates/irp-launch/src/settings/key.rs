//! The names of settings, as they stand in `.env` and in the environment.

use std::fmt;

/// A setting of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table below says what each is")]
pub enum Key {
    HostName,
    HostedZoneDomain,
    Engine,
    EdgeDlUrl,
    EdgeSha256,
    CaddyDlUrl,
    CaddySha256,
    InstanceType,
    UpstreamPort,
    ShutdownTimerHour,
    MaxLifeHour,
    NoRole,
    CertStore,
    KmsKey,
    AcmeContact,
    AcmeStaging,
    AcmeDirectory,
    SlackSigningSecret,
    Locale,
    Timezone,
}

/// One row for each setting: its name, what is allowed, what it is when nobody sets it.
struct Row {
    key: Key,
    name: &'static str,
    allowed: &'static str,
    default: Option<&'static str>,
}

const fn row(key: Key, name: &'static str, allowed: &'static str, default: Option<&'static str>) -> Row {
    Row { key, name, allowed, default }
}

const URL: &str = "an https:// URL of a file, with special characters encoded";
const HASH: &str = "64 hexadecimal digits, as sha256sum prints them";
const HOURS: &str = "hours from 0.0003 to 8784, fractions allowed, or 0 for never";

/// Every setting, in the order in which it is shown.
static ROWS: [Row; 20] = [
    row(Key::HostName, "HOST_NAME", "letters, digits and inner hyphens, at most 63", None),
    row(
        Key::HostedZoneDomain,
        "HOSTED_ZONE_DOMAIN",
        "a domain such as proxy.example.com, for which you have a public hosted zone",
        None,
    ),
    row(Key::Engine, "ENGINE", "irp or caddy", None),
    row(Key::EdgeDlUrl, "EDGE_DL_URL", URL, None),
    row(Key::EdgeSha256, "EDGE_SHA256", HASH, None),
    row(Key::CaddyDlUrl, "CADDY_DL_URL", URL, None),
    row(Key::CaddySha256, "CADDY_SHA256", HASH, None),
    row(
        Key::InstanceType,
        "INSTANCE_TYPE",
        "an instance type of EC2 that runs Linux, such as t4g.nano",
        None,
    ),
    row(
        Key::UpstreamPort,
        "UPSTREAM_PORT",
        "a number from 1 to 65535 other than 22, 80 and 443",
        Some("3000"),
    ),
    row(Key::ShutdownTimerHour, "SHUTDOWN_TIMER_HOUR", HOURS, Some("1")),
    row(Key::MaxLifeHour, "MAX_LIFE_HOUR", HOURS, Some("0")),
    row(Key::NoRole, "NO_ROLE", "1 or 0", Some("0")),
    row(Key::CertStore, "CERT_STORE", "ssm, file, or s3://BUCKET/PREFIX", Some("ssm")),
    row(Key::KmsKey, "KMS_KEY", "an id, an ARN, or alias/NAME", None),
    row(Key::AcmeContact, "ACME_CONTACT", "an e-mail address", None),
    row(Key::AcmeStaging, "ACME_STAGING", "1 or 0", Some("0")),
    row(Key::AcmeDirectory, "ACME_DIRECTORY", "an https:// URL, with special characters encoded", None),
    row(
        Key::SlackSigningSecret,
        "SLACK_SIGNING_SECRET",
        "ssm:/irp/secret/HOST_NAME/slack or secretsmanager:irp/secret/HOST_NAME/slack",
        None,
    ),
    row(Key::Locale, "LOCALE", "C, POSIX, or such as C.UTF-8 and ja_JP.UTF-8", Some("C.UTF-8")),
    row(Key::Timezone, "TIMEZONE", "a name of the IANA database, such as UTC and Asia/Tokyo", Some("UTC")),
];

impl Key {
    /// All of them, in the order in which they are shown.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.key)
    }

    /// The setting of this name, in capitals.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.key)
    }

    /// Its name in `.env` and in the environment.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its name as a flag, without the dashes in front.
    #[must_use]
    pub fn flag(self) -> String {
        self.name().to_ascii_lowercase().replace('_', "-")
    }

    /// What may be written, in words.
    #[must_use]
    pub fn allowed(self) -> &'static str {
        self.row().allowed
    }

    /// What counts when nobody sets it.
    #[must_use]
    pub fn default(self) -> Option<&'static str> {
        self.row().default
    }

    /// Whether its text must not be shown.
    #[must_use]
    pub fn is_secret(self) -> bool {
        self == Self::SlackSigningSecret
    }

    fn row(self) -> &'static Row {
        // The table has the order of the enumeration, which a test watches.
        &ROWS[self as usize]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_finds_its_row() {
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(row.key as usize, index, "{}", row.name);
            assert_eq!(Key::named(row.name), Some(row.key));
            assert!(!row.allowed.is_empty());
        }
        assert_eq!(Key::named("host_name"), None);
        assert_eq!(Key::CaddyDlUrl.flag(), "caddy-dl-url");
    }
}
