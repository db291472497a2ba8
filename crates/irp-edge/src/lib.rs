//! The edge: the server that faces the Internet.
//!
//! It terminates TLS, decides who may claim which name, and carries each visitor's request through a tunnel to
//! the developer's PC. [`Edge`] puts it together; `ARCHITECTURE.md` tells the life of a request.

mod brief;
pub mod certs;
pub mod config;
mod connection;
mod edge;
pub mod enrolment;
pub mod http;
pub mod idle;
pub mod inbox;
pub mod keys;
pub mod listen;
mod metrics;
pub mod notices;
pub mod outside;
pub mod power;
mod redirect;
pub mod registry;
mod renewal;
mod report;
pub mod sniff;
mod ssh_way;
pub mod tls;
pub mod troubles;
pub mod tunnels;

pub use edge::{BindError, Edge, Ended, RunError};
pub use ssh_way::SshWayError;
