//! Secrets that a provider tells in its handshake, as Asana does.
//!
//! Anybody could tell one, so the first counts, for good: it is written to the edge's store before the handshake is
//! answered, only where nothing is there yet, and a machine that comes later finds it. A rule whose secret a person has
//! set learns nothing.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use irp_webhook::Secret;
use irp_wire::name::Hostname;
use tokio::time::timeout;

use super::{Policies, Rule};
use crate::certs::{
    Store,
    store::{BlobName, StoreError, When, Written},
};

/// How long the store may take: a provider waits for its answer, and a client for its tunnel.
const WITHIN: Duration = Duration::from_secs(8);

/// What was learned, in the edge's store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    /// Without one, memory has to do.
    store: Option<Arc<dyn Store>>,
}

/// Why a secret was not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    #[error("another secret was told before")]
    Second,
    #[error("the secret cannot be kept: {0}")]
    Store(#[from] StoreError),
    #[error("the secret cannot be kept: the store takes too long")]
    Late,
}

impl Learned {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store: Some(store) }
    }

    /// Gives rules without a secret what was learned for their paths of this name before.
    pub(crate) async fn recall(&self, name: &Hostname, policies: &Policies) {
        for rule in policies.learning() {
            let blob = rule.kept_as(|| blob_of(name, rule));
            let Some(store) = &self.store else { continue };
            match timeout(WITHIN, store.get(blob)).await {
                Ok(Ok(Some(found))) => {
                    if let Ok(text) = std::str::from_utf8(found.bytes()) {
                        rule.learn(&Secret::new(text));
                    }
                }
                Ok(Ok(None)) => {}
                // Nothing is learned instead: the store refuses to replace what is there.
                Ok(Err(error)) => tracing::warn!(%name, %error, "cannot read what a provider told"),
                Err(_) => tracing::warn!(%name, "cannot read what a provider told: the store takes too long"),
            }
        }
    }

    /// Keeps what a provider told for the path of `rule`, unless something was told before.
    pub(super) async fn keep(&self, rule: &Rule, secret: &Secret) -> Result<(), KeepError> {
        if let (Some(store), Some(blob)) = (&self.store, rule.kept()) {
            let writing = store.put(blob, secret.expose().as_bytes(), When::Absent);
            match timeout(WITHIN, writing).await.map_err(|_| KeepError::Late)?? {
                Written::Done(_) => {}
                Written::Refused => return Err(KeepError::Second),
            }
        }
        if rule.learn(secret) { Ok(()) } else { Err(KeepError::Second) }
    }
}

/// Where the secret of a path is kept.
fn blob_of(name: &Hostname, rule: &Rule) -> BlobName {
    let key = format!("{}\n{name}\n{}", rule.provider().name(), rule.path());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    let hex = digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    BlobName::of("webhook", &[&hex])
}
