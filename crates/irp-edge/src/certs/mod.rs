//! Certificates: where they come from, where they are kept, and how they reach the listener.
//!
//! # Contract
//!
//! - **One table for the listener.** [`Certificates`] is the rustls resolver. Whoever has a certificate puts it
//!   in; connections that are open keep the one they began with, new ones get the new one.
//! - **A certificate outlives the process.** A [`Keeper`] puts everything that it would be sorry to lose in a
//!   [`Store`] *before* it matters: the account key before the account is used, the private key and the order's
//!   URL before the order is finalized, each attempt before it is made. A process killed at any point goes on
//!   where it was.
//! - **One order between all.** Keepers that share a store take a [`lease`] before they order, and look into the
//!   store again once they have it.
//! - **Limits are never reached.** What was tried is remembered in the store ([`budget`]), so a restart loop
//!   waits as a process that had gone on running would; a `Retry-After` of the CA is obeyed before all else.
//! - **Serving goes on.** A certificate that is due for renewal is served until its successor is there; every
//!   failure of an order is a status ([`Status::Waiting`]) and a log line, never an end of the keeper.
//! - **Time is an input.** Decisions ([`renew`], [`budget`]) are pure; a [`Clock`] gives the driver its time.
//!
//! For `irp up --local` a [`LocalCa`] issues the certificate instead, with no network and no store.

pub mod account;
pub mod budget;
pub mod chain;
pub mod clock;
pub mod config;
pub mod directory;
pub mod file_store;
mod folder;
pub mod http;
pub mod identity;
pub mod keeper;
pub mod lease;
mod ledger;
pub mod local;
pub mod names;
pub mod order;
pub mod renew;
pub mod resolver;
pub mod revoke;
pub mod solve;
pub mod store;

pub use chain::Certificate;
pub use clock::{Clock, SystemClock};
pub use config::{AcmeConfig, LETS_ENCRYPT, LETS_ENCRYPT_STAGING};
pub use file_store::FileStore;
pub use identity::Identity;
pub use keeper::{Keeper, Source, Status};
pub use ledger::read as history;
pub use local::LocalCa;
pub use names::Names;
pub use resolver::{ACME_TLS_ALPN, Certificates};
pub use solve::{Challenge, Dns, HttpTokens};
pub use store::Store;
