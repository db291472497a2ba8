//! User-data of both engines, executed: the real cloud-init reads it from the metadata service of EC2 on a machine with
//! systemd, whose AWS, certificate authority and name server are in the same network. Until a request gets through, and
//! until the machine has taken its record away and powered off.
//!
//! Needs root, for namespaces and mounts; nothing leaves the namespaces.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod caddy;
mod guards;
mod irp;
#[path = "../network/program.rs"]
mod program;
mod stage;
