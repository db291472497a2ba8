//! The types of single settings. Each parses from text, says what is wrong with it, and can only be built valid.

mod hours;
mod image;
mod instance_type;
mod locale;
mod names;
mod port;
mod store;
mod web;

pub use self::{
    hours::{Hours, MAX_HOURS},
    image::Image,
    instance_type::{Arch, InstanceType},
    locale::{Locale, TimeZone},
    names::{Label, ZoneName},
    port::{RESERVED_PORTS, UpstreamPort},
    store::{CertStore, KmsKey, SecretReference},
    web::{AcmeDirectory, Artefact, DownloadUrl, Email, Sha256},
};

/// What is wrong with a text, as the end of a sentence that begins with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(crate) String);

impl ValueError {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}
