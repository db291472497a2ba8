//! Looking at everything that a launch needs, without changing anything.
//!
//! Each check is a function that gives a [`Check`]: what was looked at, whether it is right, and what mends it. A check
//! that cannot be made (a call is not allowed, a peer does not answer) says so and is no failure by itself.

mod certificate;
mod launching;
mod local;
mod naming;
mod rights;

use std::net::SocketAddr;

use irp_launch::{settings::Settings, values::Image};
use serde::Serialize;

use super::{account::Account, zone::Zone};
use crate::error::Failure;

pub(crate) use self::{
    local::{clock, plugin, settings},
    naming::delegation,
};

/// What was found out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// What was looked at, in a word.
    pub(crate) check: &'static str,
    /// Whether it is as it should be; `None` where nobody can tell.
    pub(crate) ok: Option<bool>,
    /// What was seen.
    pub(crate) text: String,
    /// What to type, or to do.
    pub(crate) mend: Vec<String>,
}

impl Check {
    /// All is well.
    pub(crate) fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, ok: Some(true), text: text.into(), mend: Vec::new() }
    }

    /// It is not.
    pub(crate) fn bad(check: &'static str, text: impl Into<String>) -> Self {
        Self { ok: Some(false), ..Self::good(check, text) }
    }

    /// Nobody can tell, or it does not matter yet.
    pub(crate) fn unknown(check: &'static str, text: impl Into<String>) -> Self {
        Self { ok: None, ..Self::good(check, text) }
    }

    /// What mends it.
    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend.push(mend.into());
        self
    }

    /// A failure that an operation would end with.
    pub(crate) fn failed(check: &'static str, failure: &Failure) -> Self {
        let mut text = failure.message().to_owned();
        for cause in failure.causes() {
            text.push_str(": ");
            text.push_str(cause);
        }
        Self { mend: failure.hints().to_vec(), ..Self::bad(check, text) }
    }

    /// A call that failed, which need not matter: those who may not look may well launch.
    fn unseen(check: &'static str, error: &irp_aws::Error) -> Self {
        Self::unknown(check, format!("cannot be looked at: {error}"))
    }
}

/// What is looked at.
pub(crate) struct Subject<'a> {
    pub(crate) account: &'a Account,
    pub(crate) settings: &'a Settings,
    pub(crate) image: &'a Image,
    pub(crate) subnet: Option<&'a str>,
    pub(crate) has_role: bool,
    pub(crate) resolver: Option<SocketAddr>,
}

/// Looks at the account, in the order in which a launch needs it; gives each check to `tell` when it is done.
pub(crate) async fn examine(subject: &Subject<'_>, mut tell: impl FnMut(Check)) {
    let domain = subject.settings.zone.value.name().as_str();
    let zone = match super::zone::find(subject.account, domain).await {
        Ok(zone) => {
            tell(Check::good("zone", format!("{}  {}", zone.domain, zone.id)));
            Some(zone)
        }
        Err(failure) => {
            tell(Check::failed("zone", &failure));
            None
        }
    };
    if let Some(zone) = &zone {
        tell(delegation(subject.account, subject.resolver, zone).await);
        tell(naming::forgetting(subject, zone).await);
    }
    tell(naming::caa(subject).await);
    if let Some(zone) = &zone {
        for check in rights::role(subject, zone).await {
            tell(check);
        }
    }
    tell(certificate::budget(subject).await);
    let network = launching::network(subject).await;
    let vpc_id = network.1;
    tell(network.0);
    if let Some(vpc_id) = &vpc_id {
        tell(launching::group(subject, vpc_id).await);
    }
    let (check, image) = launching::image(subject).await;
    tell(check);
    if let Some(image) = image {
        tell(launching::trial(subject, &image, zone.as_ref().map_or("", |zone: &Zone| &zone.id)).await);
    }
    tell(launching::quota(subject).await);
    for check in launching::machines(subject).await {
        tell(check);
    }
}
