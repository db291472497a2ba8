//! The part of the keeper that orders: under the lease, within the budget, and with a memory.

use std::{error::Error, pin::pin, time::SystemTime};

use instant_acme::Account;
use irp_wire::causes::in_full;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        account::{self, AccountError},
        budget::{AttemptId, Permit},
        chain::Certificate,
        lease::{self, Lease},
        ledger::Ledger,
        order::{self, Desk, OrderError},
        store::{StoreError, When},
    },
    Keeper, LOOK_EVERY, Status, random,
};

/// What an order came to.
pub(super) enum Ordered {
    Certificate(Certificate),
    NotYet { until: SystemTime, why: String },
}

impl Keeper {
    /// What keeps up an order at this time, if anything does, and until when.
    pub(super) async fn held_back(&self) -> Result<Option<(SystemTime, String)>, StoreError> {
        let now = self.clock.now();
        let names = &self.config.names;
        let issuing = order::issuing(&*self.store, &self.drawers).await?;
        let permit = self
            .ledger()
            .update(now, |history| match issuing {
                Some(id) => history.permit_fetching(id, names, now),
                None => history.permit(names, now),
            })
            .await?;
        Ok(match permit {
            Permit::Now => None,
            Permit::Wait { until, why } => Some((until, why.to_string())),
        })
    }

    /// Orders under the lease. The caller has made sure that nothing holds it back.
    pub(super) async fn order(
        &mut self,
        lease: &mut Lease,
        stop: &CancellationToken,
    ) -> Result<Ordered, StoreError> {
        self.report(Status::Ordering { serving_until: self.serving_until() });
        if let Some(id) = order::issuing(&*self.store, &self.drawers).await? {
            match self.resume(lease, stop).await {
                Ok(Some(certificate)) => return Ok(Ordered::Certificate(certificate)),
                // The authority will not complete it: a new order, if that is allowed.
                Ok(None) => {}
                Err(error) => return self.remember(id, error).await,
            }
        }
        let id = AttemptId(random());
        let now = self.clock.now();
        let names = &self.config.names;
        let permit = self
            .ledger()
            .update(now, |history| {
                let permit = history.permit(names, now);
                if permit == Permit::Now {
                    history.begin(id, names, now);
                }
                permit
            })
            .await?;
        if let Permit::Wait { until, why } = permit {
            return Ok(Ordered::NotYet { until, why: why.to_string() });
        }
        match self.attempt(id, lease, stop).await {
            Ok(certificate) => Ok(Ordered::Certificate(certificate)),
            Err(error) => self.remember(id, error).await,
        }
    }

    /// Fetches what an earlier process had ordered and not got. This makes no new order.
    async fn resume(
        &self,
        lease: &mut Lease,
        stop: &CancellationToken,
    ) -> Result<Option<Certificate>, OrderError> {
        let halt = stop.child_token();
        let work = async {
            match account::open(&*self.store, &self.drawers.account, &self.http).await? {
                Some(account) => self.desk(&account, &halt).resume().await,
                None => Ok(None),
            }
        };
        self.under_lease(work, lease, &halt).await
    }

    async fn attempt(
        &self,
        id: AttemptId,
        lease: &mut Lease,
        stop: &CancellationToken,
    ) -> Result<Certificate, OrderError> {
        let halt = stop.child_token();
        let replaces = self.serving.as_ref().map(|(certificate, _)| certificate.leaf());
        let work = async {
            let account = self.account().await?;
            match self.desk(&account, &halt).obtain(id, replaces).await {
                // The authority has forgotten the account, as test ones do: one more, and once again.
                Err(error) if error.is_account_unknown() => {
                    self.store.delete(&self.drawers.account, When::Always).await.map(|_| ())?;
                    let account = self.account().await?;
                    self.desk(&account, &halt).obtain(id, replaces).await
                }
                other => other,
            }
        };
        self.under_lease(work, lease, &halt).await
    }

    async fn account(&self) -> Result<Account, AccountError> {
        account::open_or_create(&*self.store, &self.drawers.account, &self.config, &self.http).await
    }

    /// Does `work` while the lease is extended; `halt` calls it off when the lease is lost.
    async fn under_lease<T>(
        &self,
        work: impl Future<Output = Result<T, OrderError>>,
        lease: &mut Lease,
        halt: &CancellationToken,
    ) -> Result<T, OrderError> {
        let mut work = pin!(work);
        let mut extend_at = lease.due();
        loop {
            tokio::select! {
                biased;
                // First, so that work which stood still for long goes on only under a lease that is still held.
                () = self.clock.sleep_until(extend_at) => {}
                result = &mut work => return result,
            }
            let now = self.clock.now();
            extend_at = now + lease::EXTENDED_EVERY;
            match lease.extend(&*self.store, now).await {
                Ok(true) => {}
                // It may still be ours; the next extension will tell, unless that comes too late.
                Err(error) if extend_at < lease.ends() => {
                    tracing::warn!(error = &error as &dyn Error, "the lease could not be extended");
                }
                Ok(false) | Err(_) => {
                    tracing::warn!("the lease is lost; the order is called off");
                    halt.cancel();
                    return work.await;
                }
            }
        }
    }

    /// Writes down what became of the attempt, and says when the next one may be.
    async fn remember(&self, id: AttemptId, error: OrderError) -> Result<Ordered, StoreError> {
        let now = self.clock.now();
        let refused_until = self.http.take_refusal();
        let until_at_least = now + LOOK_EVERY;
        let why = in_full(&error);
        if let OrderError::Store(error) = error {
            return Err(error);
        }
        tracing::warn!(
            names = %self.config.names,
            error = &error as &dyn Error,
            "no certificate this time"
        );
        let permit = self
            .ledger()
            .update(now, |history| {
                match error {
                    OrderError::CalledOff => history.call_off(id),
                    _ => history.fail(id, &why, now),
                }
                if let Some(until) = refused_until {
                    history.refuse(id, until, now);
                }
                history.permit(&self.config.names, now)
            })
            .await?;
        let until = match permit {
            Permit::Now => until_at_least,
            Permit::Wait { until, .. } => until,
        };
        Ok(Ordered::NotYet { until, why })
    }

    fn desk<'a>(&'a self, account: &'a Account, halt: &'a CancellationToken) -> Desk<'a> {
        Desk {
            store: &*self.store,
            drawers: &self.drawers,
            account,
            names: &self.config.names,
            challenge: &self.config.challenge,
            clock: &self.clock,
            stop: halt,
        }
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger { store: &*self.store, name: &self.drawers.attempts }
    }
}
