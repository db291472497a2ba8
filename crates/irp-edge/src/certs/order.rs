//! One order at a certificate authority (RFC 8555, section 7.4), such that it survives the process.
//!
//! The private key and the order's URL are in the store from the moment the order exists, and the store knows
//! when the authority has been asked to issue. A process that is killed after that does not order again: the next
//! one fetches what was ordered (`Desk::resume`).

mod error;
mod pending;

use std::{pin::pin, sync::Arc, time::Duration};

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::CertificateDer;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    budget::{AttemptId, Step},
    chain::Certificate,
    clock::Clock,
    ledger::Ledger,
    names::Names,
    solve::{Challenge, Proof, SolveError},
    store::{BlobName, Store, StoreError, When, Written},
};

use pending::{Drawer, Pending};

pub use error::OrderError;

/// Until then a TXT record is visible everywhere, or the attempt has failed. Route 53 takes a minute at most.
pub const VISIBLE_WITHIN: Duration = Duration::from_secs(300);

/// Until then the authority has validated all names, or the attempt has failed.
pub const VALIDATED_WITHIN: Duration = Duration::from_secs(120);

/// Until then the authority has issued, or the order is fetched at the next attempt.
pub const ISSUED_WITHIN: Duration = Duration::from_secs(120);

/// How long taking down the proofs may take, also when the order was called off.
pub const TAKEN_DOWN_WITHIN: Duration = Duration::from_secs(30);

/// How often the authority is asked whether it is done, unless it says when: at first, growing by half.
const ASKED_EVERY: Duration = Duration::from_millis(250);

/// Where a set of names has its things in the store.
#[derive(Debug, Clone)]
pub(super) struct Drawers {
    pub(super) account: BlobName,
    pub(super) attempts: BlobName,
    pub(super) certificate: BlobName,
    pub(super) order: BlobName,
    pub(super) lease: BlobName,
}

/// A certificate as it lies in the store.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) chain_pem: String,
    pub(super) key_pem: String,
}

/// What an order needs.
pub(super) struct Desk<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) drawers: &'a Drawers,
    pub(super) account: &'a Account,
    pub(super) names: &'a Names,
    pub(super) challenge: &'a Challenge,
    pub(super) clock: &'a Arc<dyn Clock>,
    /// Calls the order off, in good order: proofs are taken down.
    pub(super) stop: &'a CancellationToken,
}

/// The attempt that has asked the authority to issue and not fetched the certificate, if there is one.
pub(super) async fn issuing(store: &dyn Store, drawers: &Drawers) -> Result<Option<AttemptId>, StoreError> {
    let (_, found) = Drawer::open(store, &drawers.order).await?;
    Ok(found.filter(|pending| pending.issuing).map(|pending| pending.attempt))
}

impl Desk<'_> {
    /// Fetches the certificate that an earlier process asked the authority to issue; `None` when there is no such
    /// order, or the authority will not complete it.
    ///
    /// # Errors
    ///
    /// When the store or the authority fails in a way that leaves the order as it is.
    pub(super) async fn resume(&self) -> Result<Option<Certificate>, OrderError> {
        let (mut drawer, found) = Drawer::open(self.store, &self.drawers.order).await?;
        let Some(pending) = found.filter(|pending| pending.issuing) else { return Ok(None) };
        let Some(mut order) = self.fetch(&pending, &mut drawer).await? else { return Ok(None) };
        match order.state().status {
            OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid => {
                self.complete(&mut order, pending, &mut drawer).await.map(Some)
            }
            OrderStatus::Pending | OrderStatus::Invalid => {
                drawer.forget().await?;
                Ok(None)
            }
        }
    }

    /// Orders a certificate, or goes on with an order that an earlier process made, under `attempt`.
    ///
    /// # Errors
    ///
    /// One variant for each step. Whatever fails, proofs are taken down, and an order that may still be completed
    /// stays in the store.
    pub(super) async fn obtain(
        &self,
        attempt: AttemptId,
        replaces: Option<&CertificateDer<'_>>,
    ) -> Result<Certificate, OrderError> {
        let (mut drawer, found) = Drawer::open(self.store, &self.drawers.order).await?;
        let unfinished = match found {
            Some(pending) => self.go_on(pending, attempt, &mut drawer).await?,
            None => None,
        };
        let (mut order, pending) = match unfinished {
            Some(unfinished) => unfinished,
            None => self.place(attempt, replaces, &mut drawer).await?,
        };
        if order.state().status == OrderStatus::Pending {
            let validated = self.validate(&mut order, attempt).await;
            if let Err(OrderError::Validation { .. } | OrderError::Invalid) = &validated {
                drawer.forget().await?;
            }
            validated?;
        }
        self.complete(&mut order, pending, &mut drawer).await
    }

    /// Makes the order of an earlier process that of `attempt`, if it can be gone on with.
    async fn go_on(
        &self,
        mut pending: Pending,
        attempt: AttemptId,
        drawer: &mut Drawer<'_>,
    ) -> Result<Option<(Order, Pending)>, OrderError> {
        let Some(mut order) = self.fetch(&pending, drawer).await? else { return Ok(None) };
        if order.state().status == OrderStatus::Invalid {
            drawer.forget().await?;
            return Ok(None);
        }
        pending.attempt = attempt;
        drawer.keep(&pending).await?;
        Ok(Some((order, pending)))
    }

    /// The order as the authority knows it; `None` when it does not, and then the store forgets it too.
    async fn fetch(&self, pending: &Pending, drawer: &mut Drawer<'_>) -> Result<Option<Order>, OrderError> {
        match self.account.order(pending.url.clone()).await {
            Ok(order) => Ok(Some(order)),
            Err(instant_acme::Error::Api(problem)) if is_final(&problem) => {
                drawer.forget().await?;
                Ok(None)
            }
            Err(error) => Err(OrderError::Fetch(error)),
        }
    }

    /// Makes a new order; the key that it will be for is in the store with it.
    async fn place(
        &self,
        attempt: AttemptId,
        replaces: Option<&CertificateDer<'_>>,
        drawer: &mut Drawer<'_>,
    ) -> Result<(Order, Pending), OrderError> {
        self.still_wanted()?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(OrderError::Key)?;
        let identifiers: Vec<_> = self.names.iter().map(|name| Identifier::Dns(name.to_owned())).collect();
        let replaced = replaces.and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let order = match replaced {
            None => self.account.new_order(&NewOrder::new(&identifiers)).await,
            Some(replaced) => {
                let new = NewOrder::new(&identifiers).replaces(replaced);
                match self.account.new_order(&new).await {
                    // Another authority's certificate, or one that was replaced already (RFC 9773, section 5).
                    Err(error) if may_dislike_replaces(&error) => {
                        tracing::info!(%error, "the order is made again without naming its predecessor");
                        self.account.new_order(&NewOrder::new(&identifiers)).await
                    }
                    other => other,
                }
            }
        };
        let order = order.map_err(OrderError::New)?;
        let url = order.url().to_owned();
        let pending = Pending { url, key_pem: key.serialize_pem(), attempt, issuing: false };
        drawer.keep(&pending).await?;
        Ok((order, pending))
    }

    /// Asks nothing more of the authority once the order was called off.
    fn still_wanted(&self) -> Result<(), OrderError> {
        if self.stop.is_cancelled() { Err(OrderError::CalledOff) } else { Ok(()) }
    }

    /// Proves control of all names. The proofs are taken down in any case, on a time limit of their own; but another
    /// process that has the lease now, and goes on with this very order, needs the same ones.
    async fn validate(&self, order: &mut Order, attempt: AttemptId) -> Result<(), OrderError> {
        let mut proofs = Vec::new();
        let result = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(OrderError::CalledOff),
            result = self.prove(order, attempt, &mut proofs) => result,
        };
        let taken_down = timeout(TAKEN_DOWN_WITHIN, async {
            if self.is_taken_over(order.url(), attempt).await {
                return;
            }
            for proof in &proofs {
                if let Err(error) = proof.take_down().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a proof for the authority stays behind"
                    );
                }
            }
        });
        if taken_down.await.is_err() {
            tracing::warn!("proofs for the authority stay behind: the zone does not answer");
        }
        result
    }

    /// Whether another attempt goes on with the order. A store that fails does not tell, and then it is ours.
    async fn is_taken_over(&self, url: &str, attempt: AttemptId) -> bool {
        match Drawer::open(self.store, &self.drawers.order).await {
            Ok((_, Some(pending))) => pending.url == url && pending.attempt != attempt,
            Ok((_, None)) | Err(_) => false,
        }
    }

    async fn prove(
        &self,
        order: &mut Order,
        attempt: AttemptId,
        proofs: &mut Vec<Proof>,
    ) -> Result<(), OrderError> {
        let mut open = order.authorizations();
        while let Some(authorization) = open.next().await {
            let mut authorization = authorization.map_err(OrderError::Authorization)?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                _ => return Err(OrderError::Invalid),
            }
            let name = authorization.identifier().to_string();
            let not_offered =
                || OrderError::NotOffered { name: name.clone(), challenge: self.challenge.label() };
            let challenge = authorization.challenge(self.challenge.kind()).ok_or_else(not_offered)?;
            let key = challenge.key_authorization();
            match self.challenge.present(&name, &challenge.token, &key).await {
                Ok(proof) => proofs.push(proof),
                Err(SolveError::Dns(error, proof)) => {
                    proofs.push(proof);
                    return Err(OrderError::Dns(error));
                }
                Err(SolveError::Certificate(source)) => return Err(OrderError::ChallengeCertificate(source)),
            }
        }
        for proof in &*proofs {
            match timeout(VISIBLE_WITHIN, proof.wait_visible()).await {
                Ok(seen) => seen.map_err(OrderError::Dns)?,
                Err(_) => return Err(OrderError::NotVisible),
            }
        }
        self.advance(attempt, Step::Validating).await?;
        self.ask_to_validate(order).await?;
        let asking = RetryPolicy::new().initial_delay(ASKED_EVERY).backoff(1.5).timeout(VALIDATED_WITHIN);
        match order.poll_ready(&asking).await {
            Ok(OrderStatus::Ready) => Ok(()),
            // Some authorities leave a failed challenge pending, so the reason is looked for after any failure.
            Ok(_) => Err(self.why_invalid(order).await.unwrap_or(OrderError::Invalid)),
            Err(error) => Err(self.why_invalid(order).await.unwrap_or(OrderError::Validate(error))),
        }
    }

    async fn ask_to_validate(&self, order: &mut Order) -> Result<(), OrderError> {
        let mut open = order.authorizations();
        while let Some(authorization) = open.next().await {
            let mut authorization = authorization.map_err(OrderError::Authorization)?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(self.challenge.kind()) else { continue };
            // One that an earlier process sent is under way.
            if challenge.status != ChallengeStatus::Pending {
                continue;
            }
            challenge.set_ready().await.map_err(|error| match error {
                instant_acme::Error::Api(problem) => OrderError::Validation { name, problem },
                other => OrderError::Validate(other),
            })?;
        }
        Ok(())
    }

    /// The first name that the authority could not validate, and why.
    async fn why_invalid(&self, order: &mut Order) -> Option<OrderError> {
        let mut all = order.authorizations();
        while let Some(Ok(mut authorization)) = all.next().await {
            // Without a new look the state is that of before the validation.
            if authorization.refresh().await.is_err() {
                continue;
            }
            let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.clone());
            if let Some(problem) = problem {
                return Some(OrderError::Validation {
                    name: authorization.identifier().to_string(),
                    problem,
                });
            }
        }
        None
    }

    /// Has the certificate issued, fetches it, and puts it in the store.
    async fn complete(
        &self,
        order: &mut Order,
        mut pending: Pending,
        drawer: &mut Drawer<'_>,
    ) -> Result<Certificate, OrderError> {
        if order.state().status == OrderStatus::Ready {
            self.still_wanted()?;
            if !pending.issuing {
                self.advance(pending.attempt, Step::Issuing).await?;
                pending.issuing = true;
                drawer.keep(&pending).await?;
            }
            let request = self.signing_request(&pending)?;
            let finalized = order.finalize_csr(&request).await;
            if let Err(instant_acme::Error::Api(problem)) = &finalized
                && is_final(problem)
            {
                drawer.forget().await?;
            }
            finalized.map_err(OrderError::Finalize)?;
        }
        let asking = RetryPolicy::new().initial_delay(ASKED_EVERY).backoff(1.5).timeout(ISSUED_WITHIN);
        let fetched = {
            let fetch = pin!(order.poll_certificate(&asking));
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(OrderError::CalledOff),
                fetched = fetch => fetched,
            }
        };
        let chain_pem = match fetched {
            Ok(chain_pem) => chain_pem,
            Err(error) => {
                if order.state().status == OrderStatus::Invalid {
                    drawer.forget().await?;
                }
                return Err(OrderError::Download(error));
            }
        };
        let certificate = match self.check(&chain_pem, &pending) {
            Ok(certificate) => certificate,
            Err(error) => {
                // Fetching it again would give the same.
                drawer.forget().await?;
                return Err(error);
            }
        };
        let kept = Kept { chain_pem, key_pem: pending.key_pem };
        // Whoever else has the lease by now: a good certificate is as good as theirs.
        write(self.store, &self.drawers.certificate, &kept, When::Always).await.map(|_| ())?;
        drawer.forget().await?;
        self.advance(pending.attempt, Step::Issued).await?;
        Ok(certificate)
    }

    fn check(&self, chain_pem: &str, pending: &Pending) -> Result<Certificate, OrderError> {
        let certificate = Certificate::parse(chain_pem, &SecretString::from(pending.key_pem.clone()))?;
        if !certificate.is_for(self.names) {
            return Err(OrderError::OtherNames { got: certificate.names().join(", ") });
        }
        Ok(certificate)
    }

    fn signing_request(&self, pending: &Pending) -> Result<Vec<u8>, OrderError> {
        let key = KeyPair::from_pem(&pending.key_pem).map_err(OrderError::Key)?;
        let mut params = CertificateParams::new(self.names.as_slice()).map_err(OrderError::Key)?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&key).map_err(OrderError::Key)?.der().to_vec())
    }

    async fn advance(&self, attempt: AttemptId, step: Step) -> Result<(), StoreError> {
        let now = self.clock.now();
        let ledger = Ledger { store: self.store, name: &self.drawers.attempts };
        ledger.update(now, |history| history.advance(attempt, step, now)).await
    }
}

async fn write(
    store: &dyn Store,
    name: &BlobName,
    value: &impl Serialize,
    when: When,
) -> Result<Written, StoreError> {
    let bytes = SecretString::from(
        serde_json::to_string(value)
            .map_err(|error| StoreError::Put { name: name.clone(), source: error.into() })?,
    );
    store.put(name, bytes.expose_secret().as_bytes(), when).await
}

/// Whether asking the same again can never succeed: the authority understood and refused.
fn is_final(problem: &instant_acme::Problem) -> bool {
    let transient = ["rateLimited", "serverInternal", "badNonce"];
    let kind = problem.r#type.as_deref().and_then(|kind| kind.strip_prefix("urn:ietf:params:acme:error:"));
    kind.is_some_and(|kind| !transient.contains(&kind))
}

fn may_dislike_replaces(error: &instant_acme::Error) -> bool {
    match error {
        instant_acme::Error::Api(problem) => is_final(problem),
        instant_acme::Error::Unsupported(_) => true,
        // An authority that does not repeat the field in its answer.
        instant_acme::Error::Other(error) => error.to_string().starts_with("replaces field mismatch"),
        _ => false,
    }
}
