//! Settings as they are shown to a person: each with its source.

use super::{Engine, Key, Setting, Settings};

impl Settings {
    /// Each setting that is set: its key, its text, and where it came from in words. No secret is among them.
    #[must_use]
    pub fn shown(&self) -> Vec<(Key, String, String)> {
        let mut shown = vec![
            row(Key::HostName, &self.host),
            row(Key::HostedZoneDomain, &self.zone),
            row(Key::Engine, &self.engine),
        ];
        if let Engine::Caddy(archive) = &self.engine.value {
            shown.push((
                Key::CaddyDlUrl,
                archive.url.as_str().to_owned(),
                self.engine.source.of(Key::Engine),
            ));
        }
        shown.extend(self.instance_type.as_ref().map(|setting| row(Key::InstanceType, setting)));
        shown.extend([
            row(Key::UpstreamPort, &self.upstream_port),
            row(Key::ShutdownTimerHour, &self.idle),
            row(Key::MaxLifeHour, &self.max_life),
            (Key::NoRole, digit(self.no_role.value), self.no_role.source.of(Key::NoRole)),
            row(Key::CertStore, &self.cert_store),
        ]);
        shown.extend(self.kms_key.as_ref().map(|setting| row(Key::KmsKey, setting)));
        shown.extend(self.acme_contact.as_ref().map(|setting| row(Key::AcmeContact, setting)));
        let staging = digit(self.acme_staging.value);
        shown.push((Key::AcmeStaging, staging, self.acme_staging.source.of(Key::AcmeStaging)));
        shown.extend(self.acme_directory.as_ref().map(|setting| row(Key::AcmeDirectory, setting)));
        if let Some(secret) = &self.slack_secret {
            // It says where the secret is, not what it is.
            let key = Key::SlackSigningSecret;
            shown.push((key, secret.value.as_str().to_owned(), secret.source.of(key)));
        }
        shown.extend([row(Key::Locale, &self.locale), row(Key::Timezone, &self.timezone)]);
        shown
    }
}

/// A switch as it is written.
fn digit(on: bool) -> String {
    u8::from(on).to_string()
}

fn row<T: ToString>(key: Key, setting: &Setting<T>) -> (Key, String, String) {
    (key, setting.value.to_string(), setting.source.of(key))
}
