//! The client against a stand-in of the edge, over real TLS, and real upstreams behind it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "the stand-in of the edge can do more than is tested so far")]

mod edge;
mod serving;
