//! The public zone of Route 53 in which an edge has its records.

use std::time::Duration;

use futures_util::future::BoxFuture;
use irp_aws::{
    Error, Route53,
    route53::{Change, ChangeId, RecordSet},
};
use irp_edge::certs::{Dns, solve::DnsError};
use tokio::sync::{Mutex, OnceCell};

/// Seconds that resolvers keep a challenge: it is gone in a minute.
const CHALLENGE_TTL: u32 = 60;

/// How often a set is read and written again when it was changed in between.
const TRIES: u32 = 5;

/// The wait before that.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// A zone, known by its name or its id.
#[derive(Debug)]
pub(crate) struct Zone {
    route53: Route53,
    named: Named,
    id: OnceCell<String>,
    /// The last change, which has to be everywhere before a challenge counts as visible.
    last: Mutex<Option<ChangeId>>,
}

/// How a zone was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// By its id.
    Id(String),
    /// By its name: it is looked for among the public zones.
    Name(String),
}

/// The zone cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZoneError {
    /// There is none.
    #[error("there is no public Route 53 zone named {0} in this account")]
    Missing(String),
    /// There are several.
    #[error("there are several public Route 53 zones named {0}: say which by `zone_id` of [aws]")]
    Ambiguous(String),
    /// Somebody's alias or routing policy has the name.
    #[error("{name} {kind} is an alias or has a routing policy: it is left alone")]
    Special { name: String, kind: &'static str },
    /// Others kept changing it.
    #[error("{0} is changed by others all the time")]
    Contended(String),
    /// AWS refused or was not reached.
    #[error(transparent)]
    Call(#[from] Error),
}

impl Zone {
    pub(crate) fn new(route53: Route53, named: Named) -> Self {
        Self { route53, named, id: OnceCell::new(), last: Mutex::default() }
    }

    async fn id(&self) -> Result<&str, ZoneError> {
        let look = || async {
            let name = match &self.named {
                Named::Id(id) => return Ok(id.clone()),
                Named::Name(name) => name,
            };
            let mut zones = self.route53.zones_named(name).await?;
            zones.retain(|zone| !zone.private);
            match zones.as_slice() {
                [] => Err(ZoneError::Missing(name.clone())),
                [zone] => Ok(zone.id.clone()),
                _ => Err(ZoneError::Ambiguous(name.clone())),
            }
        };
        self.id.get_or_try_init(look).await.map(String::as_str)
    }

    /// Puts `value` in the place of whatever the set holds; the change if there was one to make, which
    /// [`settle`](Self::settle) waits for.
    pub(crate) async fn point(
        &self,
        name: &str,
        kind: &'static str,
        ttl: u32,
        value: &str,
    ) -> Result<Option<ChangeId>, ZoneError> {
        let zone = self.id().await?;
        let wanted = RecordSet::new(name, kind, ttl, [value]);
        if self.read(name, kind).await?.as_ref() == Some(&wanted) {
            return Ok(None);
        }
        Ok(Some(self.route53.change(zone, &[Change::Upsert(wanted)]).await?))
    }

    /// Waits until all name servers know of a change.
    pub(crate) async fn settle(&self, change: &ChangeId) -> Result<(), ZoneError> {
        Ok(self.route53.wait_in_sync(change).await?)
    }

    /// Whether all name servers know of a change.
    pub(crate) async fn is_settled(&self, change: &ChangeId) -> Result<bool, ZoneError> {
        Ok(self.route53.is_in_sync(change).await?)
    }

    /// What the set holds, if there is one.
    pub(crate) async fn values(
        &self,
        name: &str,
        kind: &'static str,
    ) -> Result<Option<Vec<String>>, ZoneError> {
        Ok(self.read(name, kind).await?.map(|set| set.values))
    }

    /// Removes the set, whatever it holds.
    pub(crate) async fn clear(&self, name: &str, kind: &'static str) -> Result<(), ZoneError> {
        let Some(set) = self.read(name, kind).await? else { return Ok(()) };
        self.delete(set).await.map(drop)
    }

    /// Removes the set if `value` is all that it holds; `false` when it is somebody else's by now, or gone.
    pub(crate) async fn withdraw(
        &self,
        name: &str,
        kind: &'static str,
        value: &str,
    ) -> Result<bool, ZoneError> {
        let Some(set) = self.read(name, kind).await? else { return Ok(false) };
        if set.values != [value] { Ok(false) } else { self.delete(set).await }
    }

    /// Removes exactly this set; `false` when it is not what it was a moment ago.
    async fn delete(&self, set: RecordSet) -> Result<bool, ZoneError> {
        let zone = self.id().await?;
        match self.route53.change(zone, &[Change::Delete(set)]).await {
            Ok(_) => Ok(true),
            Err(error) if error.is("InvalidChangeBatch") => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, name: &str, kind: &'static str) -> Result<Option<RecordSet>, ZoneError> {
        let set = self.route53.record_set(self.id().await?, name, kind).await?;
        match set {
            Some(set) if set.special => Err(ZoneError::Special { name: set.name, kind }),
            set => Ok(set),
        }
    }

    /// Adds one value to a TXT set, or takes it out, and keeps the others: two edges may prove the same name.
    ///
    /// The role of an edge may not CREATE, and UPSERT has no condition, so the set is read again afterwards: whoever was
    /// overwritten by another edge sees it, and does it again.
    async fn edit_txt(&self, name: &str, value: &str, add: bool) -> Result<(), ZoneError> {
        let zone = self.id().await?;
        let quoted = format!("\"{value}\"");
        for _ in 0..TRIES {
            let before = self.read(name, "TXT").await?;
            let Some(change) = txt_change(name, before.as_ref(), &quoted, add) else { return Ok(()) };
            match self.route53.change(zone, &[change]).await {
                Ok(change) => *self.last.lock().await = Some(change),
                // A deletion of what is not what it was a moment ago.
                Err(error) if error.is("InvalidChangeBatch") => tokio::time::sleep(AGAIN_AFTER).await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(ZoneError::Contended(name.to_owned()))
    }

    /// Waits until all name servers have a value, and puts it back if another edge has overwritten it meanwhile.
    async fn wait_txt(&self, name: &str, value: &str) -> Result<(), ZoneError> {
        for _ in 0..TRIES {
            let last = self.last.lock().await.clone();
            if let Some(change) = last {
                self.route53.wait_in_sync(&change).await?;
            }
            let quoted = format!("\"{value}\"");
            if self.read(name, "TXT").await?.is_some_and(|set| set.values.contains(&quoted)) {
                return Ok(());
            }
            self.edit_txt(name, value, true).await?;
        }
        Err(ZoneError::Contended(name.to_owned()))
    }
}

/// The change after which `before` has, or does not have, a value; `None` when it is so already.
fn txt_change(name: &str, before: Option<&RecordSet>, quoted: &str, add: bool) -> Option<Change> {
    let mut values = before.map(|set| set.values.clone()).unwrap_or_default();
    if values.iter().any(|value| value == quoted) == add {
        return None;
    }
    if add {
        values.push(quoted.to_owned());
    } else {
        values.retain(|value| value != quoted);
    }
    if values.is_empty() {
        return before.cloned().map(Change::Delete);
    }
    Some(Change::Upsert(RecordSet::new(name, "TXT", CHALLENGE_TTL, values)))
}

impl Dns for Zone {
    fn set_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(async move { self.edit_txt(name, value, true).await.map_err(failed("setting", name)) })
    }

    fn clear_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(async move { self.edit_txt(name, value, false).await.map_err(failed("clearing", name)) })
    }

    fn wait_visible<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(async move { self.wait_txt(name, value).await.map_err(failed("waiting for", name)) })
    }
}

fn failed(action: &'static str, name: &str) -> impl Fn(ZoneError) -> DnsError {
    move |error| DnsError { action, name: name.to_owned(), source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_others_stay() {
        let set = |values: &[&str]| RecordSet::new("_acme-challenge.a", "TXT", 60, values.iter().copied());
        let change =
            |before: Option<RecordSet>, add| txt_change("_acme-challenge.a", before.as_ref(), "\"x\"", add);
        assert_eq!(change(None, true), Some(Change::Upsert(set(&["\"x\""]))));
        let others = set(&["\"y\""]);
        let both = set(&["\"y\"", "\"x\""]);
        assert_eq!(change(Some(others.clone()), true), Some(Change::Upsert(both.clone())));
        assert_eq!(change(Some(both.clone()), true), None);
        assert_eq!(change(Some(both), false), Some(Change::Upsert(others.clone())));
        assert_eq!(change(Some(set(&["\"x\""])), false), Some(Change::Delete(set(&["\"x\""]))));
        assert_eq!(change(Some(others), false), None);
        assert_eq!(change(None, false), None);
    }
}
