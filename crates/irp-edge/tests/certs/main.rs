//! Certificates, against real authorities: how they are kept, ordered, renewed and served.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod caddy;
mod contract;
mod lease;
mod limits;
mod local;
mod pebble;
mod renewal;
mod resume;
mod serving;
mod sharing;
mod store;
mod support;
