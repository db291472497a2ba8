//! User-data: what cloud-init reads on the machine's first boot, as a pure function of settings.
//!
//! The form is cloud-config in JSON, which is YAML as well, so that one encoder does all the quoting. The scripts
//! and units are constants; what varies is in three files, each with its own quoting: `boot.env` for the shell,
//! `edge.toml`, and the `Caddyfile`. There is no secret in any of them: everybody on the machine can read
//! user-data, and so can whoever may describe the instance.
//!
//! Everything starts in cloud-init's network stage, without any package from anywhere.

mod caddy;
mod cloud_config;
mod envelope;
mod irp;
mod machine;
mod quote;

use irp_wire::key::PublicKey;

pub use self::{
    cloud_config::File,
    envelope::{MAX_BYTES, TooLarge},
};
use crate::settings::{Engine, Settings};

/// A person's public key, and whose it is.
#[derive(Clone, Debug)]
pub struct ClientKey {
    /// The key.
    pub key: PublicKey,
    /// Whose it is; only letters, digits and a few signs of it are kept.
    pub comment: String,
}

impl ClientKey {
    /// The key as a line of a `.pub` file.
    #[must_use]
    pub fn line(&self) -> String {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "@._-+ ".contains(*c);
        let comment: String = self.comment.chars().filter(plain).take(64).collect();
        format!("{} {}", self.key, comment.trim()).trim_end().to_owned()
    }
}

/// What a machine is started with.
#[derive(Clone, Debug)]
pub struct UserData {
    text: String,
    files: Vec<File>,
}

impl UserData {
    /// Makes the user-data of the engine that the settings name; `key` is the one of the person who launches.
    ///
    /// # Errors
    ///
    /// When it is too large even compressed.
    pub fn render(settings: &Settings, key: &ClientKey) -> Result<Self, TooLarge> {
        let files = match &settings.engine.value {
            Engine::Irp(edges) => irp::files(settings, edges, key),
            Engine::Caddy(archive) => caddy::files(settings, archive),
        };
        let config = cloud_config::text(&files, &key.line());
        Ok(Self { text: envelope::fit(config)?, files })
    }

    /// The text for `--user-data`, at most [`MAX_BYTES`] long, in ASCII.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The files that it writes on the machine.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }
}
