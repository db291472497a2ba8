//! Edge and client together over real TLS, both in this process: the tunnel itself, with real visitors in front
//! and real programs behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod bulk;
mod cancel;
mod claims;
mod door;
mod drain;
mod handshakes;
mod inbox;
mod lanes;
mod programs;
mod relay;
mod restart;
mod rude;
mod smuggling;
mod ssh;
mod stage;
mod streams;
mod traffic;
mod upgrades;
mod way;
mod webhooks;
