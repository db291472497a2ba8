//! What is left behind: by a crash, an interrupted command, a shutdown behaviour that somebody changed.
//!
//! [`find`] only looks, and at nothing but what irp's tags, names and ways of writing tell to be irp's; what it finds is
//! shown to the person before [`remove()`] takes it away. A part of the account that one may not look at is told, and is
//! no failure.

mod machines;
mod records;
mod remove;
mod storage;

use std::net::IpAddr;

use serde::Serialize;

use super::account::Account;
use crate::{clock, error::Failure};

pub(crate) use self::remove::{Outcome, remove};

/// Something that nobody needs any more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Leftover {
    /// What it is.
    #[serde(flatten)]
    pub(crate) what: What,
    /// Why it is left, for people.
    pub(crate) why: String,
    /// US dollars a month, an estimate; `null` where nobody can tell.
    pub(crate) cost_usd_per_month: Option<f64>,
}

/// What is left, and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum What {
    /// A machine, which is terminated.
    Machine {
        /// `i-…`.
        id: String,
        /// Its public name.
        name: String,
    },
    /// A machine that would stop rather than end when it powers off: it is told to terminate then.
    ShutdownBehaviour {
        /// `i-…`.
        id: String,
        /// Its public name.
        name: String,
    },
    /// An address record, which is removed if it still holds this.
    Record {
        /// Its zone, `Z…`.
        zone_id: String,
        /// Its name.
        name: String,
        /// Where it leads.
        value: IpAddr,
    },
    /// What a certificate authority was to find and has found long since: TXT records.
    Challenge {
        /// The zone, `Z…`.
        zone_id: String,
        /// The whole name, `_acme-challenge.…`.
        name: String,
    },
    /// irp's security group.
    Group {
        /// `sg-…`.
        id: String,
    },
    /// A program for machines in the bucket.
    Object {
        /// The bucket.
        bucket: String,
        /// Its key.
        key: String,
    },
}

impl What {
    /// A word for people.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Machine { .. } => "machine",
            Self::ShutdownBehaviour { .. } => "shutdown",
            Self::Record { .. } => "record",
            Self::Challenge { .. } => "challenge",
            Self::Group { .. } => "group",
            Self::Object { .. } => "program",
        }
    }

    /// Which one.
    pub(crate) fn which(&self) -> String {
        match self {
            Self::Machine { id, name } | Self::ShutdownBehaviour { id, name } => format!("{id}  {name}"),
            Self::Record { name, value, .. } => format!("{name} → {value}"),
            Self::Challenge { name, .. } => name.clone(),
            Self::Group { id } => id.clone(),
            Self::Object { bucket, key } => format!("s3://{bucket}/{key}"),
        }
    }

    /// What is done about it.
    pub(crate) fn mend(&self) -> &'static str {
        match self {
            Self::Machine { .. } => "end it",
            Self::ShutdownBehaviour { .. } => "let it end",
            _ => "remove it",
        }
    }
}

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) leftovers: Vec<Leftover>,
    /// Sentences about what could not be seen.
    pub(crate) unseen: Vec<String>,
}

impl Found {
    /// Keeps what a look gave.
    fn take(&mut self, what: &str, looked: Result<Vec<Leftover>, Failure>) {
        match looked {
            Ok(found) => self.leftovers.extend(found),
            Err(failure) => {
                let why = failure.causes().first().map_or(failure.message(), String::as_str);
                self.unseen.push(format!("{what} cannot be looked at: {why}"));
            }
        }
    }
}

/// Looks for what is left in the region, and in the zones of names that irp knows there. `domain` is the zone of the
/// settings, if there is one.
///
/// # Errors
///
/// When not even the machines can be seen: nothing can be told to be left then.
pub(crate) async fn find(account: &Account, domain: Option<&str>) -> Result<Found, Failure> {
    let all = super::machines::all(account).await?;
    let mut found = Found::default();
    found.take("machines", machines::find(account, &all, clock::now()).await);
    let names = records::names(account, &all).await;
    found.take("records", records::find(account, &all, names, domain).await);
    found.take("security groups", storage::groups(account, &all).await);
    found.take("the bucket", storage::objects(account, clock::now()).await);
    Ok(found)
}
