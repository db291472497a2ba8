//! What is shipped: packed as a release packs it, and used where nothing else is. The package for Debian and those for npm
//! are installed on a small Debian that boots in namespaces of its own (`irp-testkit::machine`); it needs root.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod container;
mod debian;
mod host;
mod image;
mod node;
mod npm;
mod packed;
#[path = "../live/program.rs"]
mod program;
mod registry;
mod release;
mod workflows;
