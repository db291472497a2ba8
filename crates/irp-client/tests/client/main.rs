//! The client against a stand-in of the edge, over real TLS, and real upstreams behind it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod edge;
mod keys;
mod lanes;
mod life;
mod pipe;
mod serving;
mod ssh;
mod trust;
mod upstreams;
