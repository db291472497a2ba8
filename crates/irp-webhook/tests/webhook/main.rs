//! The table against published vectors and against everything that could be wrong with a request.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;
mod documents;
mod handshakes;
mod offline;
mod property;
mod refusals;
mod sns;
mod vectors;
