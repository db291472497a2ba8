//! The edge: the server that faces the Internet.
//!
//! It terminates TLS, verifies who may claim which name, and carries each visitor's request through a
//! tunnel to the developer's PC. See `ARCHITECTURE.md` for the life of a request.

pub mod certs;
pub mod http;
pub mod idle;
pub mod power;
pub mod tunnels;
