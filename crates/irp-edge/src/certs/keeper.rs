//! The driver: keeps one certificate in the listener's table, for as long as the edge runs.
//!
//! Each turn looks into the store, serves what is good there, and orders when nothing is, or when renewal is
//! due. Nothing is decided here: [`renew`] says when, [`budget`](super::budget) says whether,
//! `order` knows how.

mod ordering;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{digest, rand};
use instant_acme::CertificateIdentifier;
use irp_wire::causes::in_full;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    account,
    chain::Certificate,
    clock::Clock,
    config::AcmeConfig,
    file_store::hex,
    http::{DirectoryClient, RootsError},
    lease::{self, Acquired, Lease},
    ledger::ATTEMPTS,
    order::{Drawers, Kept},
    renew::{self, Window},
    resolver::Certificates,
    store::{BlobName, Store, StoreError},
};

use ordering::Ordered;

/// How soon a store that failed is tried again.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// How often the store is looked into while something else keeps up an order: another process may have brought
/// the certificate.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How soon a lease that another holds is asked for again.
const LEASE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What the keeper is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It has not looked yet.
    Starting,
    /// It is ordering; until then the previous certificate, if any, is served.
    Ordering {
        /// The end of the certificate that is served meanwhile.
        serving_until: Option<SystemTime>,
    },
    /// A good certificate is served.
    Ready {
        /// Its end.
        not_after: SystemTime,
        /// When it will be renewed.
        renew_at: SystemTime,
        /// Where it came from.
        source: Source,
    },
    /// A certificate is wanted, and something keeps it up.
    Waiting {
        /// When it is tried again.
        until: SystemTime,
        /// What keeps it up, for people: a sentence without a full stop.
        why: String,
        /// The end of the certificate that is served meanwhile.
        serving_until: Option<SystemTime>,
    },
}

/// Where a certificate came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It was in the store: this process did not order it.
    Cache,
    /// This process ordered it.
    Ordered,
}

/// Keeps one certificate; see the module.
pub struct Keeper {
    config: AcmeConfig,
    store: Arc<dyn Store>,
    certificates: Arc<Certificates>,
    clock: Arc<dyn Clock>,
    http: DirectoryClient,
    drawers: Drawers,
    /// Names this process to the others.
    owner: String,
    status: watch::Sender<Status>,
    serving: Option<(Certificate, Source)>,
    window: Option<Window>,
    ask_for_window_at: SystemTime,
}

impl Keeper {
    /// A keeper that puts the certificate of `config` into `certificates`. Nothing happens before
    /// [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// When the trust roots of the directory are of no use.
    pub fn new(
        config: AcmeConfig,
        store: Arc<dyn Store>,
        certificates: Arc<Certificates>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RootsError> {
        let http = DirectoryClient::new(config.extra_roots_pem.as_deref(), Arc::clone(&clock))?;
        let ask_for_window_at = clock.now();
        Ok(Self {
            drawers: Drawers::of(&config),
            owner: format!("{:016x}", random()),
            status: watch::Sender::new(Status::Starting),
            serving: None,
            window: None,
            ask_for_window_at,
            config,
            store,
            certificates,
            clock,
            http,
        })
    }

    /// What the keeper is doing, now and later.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Runs until `stop`. An order under way is then called off in good order; one that the authority has been
    /// asked to issue is fetched by the next process.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let next = Box::pin(self.turn(&stop)).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    /// One look at everything; when to look again.
    async fn turn(&mut self, stop: &CancellationToken) -> SystemTime {
        if let Err(error) = self.adopt().await {
            return self.wait_for_store(&error);
        }
        if let Some(at) = self.rest().await {
            return at;
        }
        let lease =
            match lease::acquire(&*self.store, &self.drawers.lease, &self.owner, self.clock.now()).await {
                Ok(Acquired::Held(lease)) => lease,
                Ok(Acquired::Busy { until }) => {
                    let until = until.min(self.clock.now() + LEASE_AGAIN_AFTER);
                    return self.wait(until, "another process is ordering the certificate".to_owned());
                }
                Err(error) => return self.wait_for_store(&error),
            };
        let (next, lease) = self.turn_with(lease, stop).await;
        if let Err(error) = lease.release(&*self.store).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the lease could not be given back");
        }
        next
    }

    /// The part of a turn that only one process does at a time.
    async fn turn_with(&mut self, mut lease: Lease, stop: &CancellationToken) -> (SystemTime, Lease) {
        // Whoever had the lease before may have brought what is wanted.
        if let Err(error) = self.adopt().await {
            return (self.wait_for_store(&error), lease);
        }
        if let Some(at) = self.rest().await {
            return (at, lease);
        }
        match self.held_back().await {
            Ok(None) => {}
            Ok(Some((until, why))) => return (self.wait(until, why), lease),
            Err(error) => return (self.wait_for_store(&error), lease),
        }
        let next = match self.order(&mut lease, stop).await {
            Ok(Ordered::Certificate(certificate)) => {
                self.serve(certificate, Source::Ordered);
                self.clock.now()
            }
            Ok(Ordered::NotYet { until, why }) => self.wait(until, why),
            Err(error) => self.wait_for_store(&error),
        };
        (next, lease)
    }

    /// Serves what is in the store, if that is better than what is served.
    async fn adopt(&mut self) -> Result<(), StoreError> {
        let Some(blob) = self.store.get(&self.drawers.certificate).await? else { return Ok(()) };
        let kept = serde_json::from_slice::<Kept>(blob.bytes());
        let parsed = kept.map_err(|error| error.to_string()).and_then(|kept| {
            Certificate::parse(&kept.chain_pem, &SecretString::from(kept.key_pem))
                .map_err(|error| error.to_string())
        });
        let certificate = match parsed {
            Ok(certificate) => certificate,
            Err(error) => {
                // It is replaced by the next order; the private key was never used elsewhere.
                tracing::warn!(error, "the certificate in the store is of no use");
                return Ok(());
            }
        };
        let better = match &self.serving {
            None => true,
            Some((served, _)) => certificate.life().not_after > served.life().not_after,
        };
        if better && certificate.is_for(&self.config.names) && certificate.is_valid(self.clock.now()) {
            self.serve(certificate, Source::Cache);
        }
        Ok(())
    }

    fn serve(&mut self, certificate: Certificate, source: Source) {
        tracing::info!(names = %self.config.names, ?source, "a certificate is served from now on");
        self.certificates.install(&certificate);
        self.serving = Some((certificate, source));
        self.window = None;
        self.ask_for_window_at = self.clock.now();
    }

    /// When to look again, if what is served is good until then.
    async fn rest(&mut self) -> Option<SystemTime> {
        self.report_ready()?;
        if self.ask_for_window_at <= self.clock.now() {
            self.ask_for_window().await;
        }
        self.report_ready().map(|due| due.min(self.ask_for_window_at))
    }

    /// Says that the certificate is good, if it is, and until when.
    fn report_ready(&self) -> Option<SystemTime> {
        let (certificate, source) = self.serving.as_ref()?;
        let now = self.clock.now();
        let due = renew::renew_at(certificate.life(), self.window, certificate.spread());
        if due <= now || !certificate.is_valid(now) {
            return None;
        }
        let not_after = certificate.life().not_after;
        self.report(Status::Ready { not_after, renew_at: due, source: *source });
        Some(due)
    }

    /// Asks the authority when it wants the certificate to be renewed (RFC 9773, section 4.2). It need not
    /// answer: the last window, or the certificate's age, then decides.
    async fn ask_for_window(&mut self) {
        let now = self.clock.now();
        self.ask_for_window_at = now + renew::ASKED_AGAIN_AFTER_FAILURE;
        let Some((certificate, _)) = &self.serving else { return };
        let Ok(id) = CertificateIdentifier::try_from(certificate.leaf()) else { return };
        let account = match account::open(&*self.store, &self.drawers.account, &self.http).await {
            Ok(Some(account)) => account,
            Ok(None) => return,
            Err(error) => {
                tracing::info!(error = &error as &dyn std::error::Error, "the renewal window is not known");
                return;
            }
        };
        match account.renewal_info(&id).await {
            Ok((info, hint)) => {
                let window = info.suggested_window;
                self.window = Some(Window { start: window.start.into(), end: window.end.into() });
                self.ask_for_window_at = renew::ask_again_at(now, hint);
            }
            Err(instant_acme::Error::Unsupported(_)) => {
                self.ask_for_window_at = renew::ask_again_at(now, Duration::MAX);
            }
            Err(error) => {
                tracing::info!(error = &error as &dyn std::error::Error, "the renewal window is not known");
            }
        }
    }

    fn serving_until(&self) -> Option<SystemTime> {
        self.serving.as_ref().map(|(certificate, _)| certificate.life().not_after)
    }

    /// Says what is being waited for. The store is looked into meanwhile, so the next turn may come sooner.
    fn wait(&self, until: SystemTime, why: String) -> SystemTime {
        self.report(Status::Waiting { until, why, serving_until: self.serving_until() });
        until.min(self.clock.now() + LOOK_EVERY)
    }

    fn wait_for_store(&self, error: &StoreError) -> SystemTime {
        tracing::warn!(error = error as &dyn std::error::Error, "the certificate store failed");
        self.wait(self.clock.now() + STORE_AGAIN_AFTER, in_full(error))
    }

    fn report(&self, status: Status) {
        self.status.send_if_modified(|current| {
            let changed = *current != status;
            *current = status;
            changed
        });
    }
}

impl Drawers {
    /// Different directories and different sets of names share nothing but what belongs to all of them.
    fn of(config: &AcmeConfig) -> Self {
        let ca = short_digest(&config.directory_url);
        let set = short_digest(&config.names.as_slice().join("\n"));
        Self {
            account: BlobName::of("account", &[&ca]),
            attempts: BlobName::of(ATTEMPTS, &[&ca]),
            certificate: BlobName::of("certificate", &[&ca, &set]),
            order: BlobName::of("order", &[&ca, &set]),
            lease: BlobName::of("lease", &[&ca, &set]),
        }
    }
}

/// 64 bits: enough to tell the few apart that share a store.
pub(super) fn short_digest(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    hex(&digest.as_ref()[..8])
}

/// A machine without random numbers could not have made a key either; zero then only weakens the jitter.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}
