//! Edge and client together over real TLS, both in this process: the tunnel itself, with real visitors in front
//! and real programs behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cancel;
mod claims;
mod drain;
mod lanes;
mod relay;
mod restart;
mod ssh;
mod stage;
mod traffic;
