//! The commands that use an AWS account, as people run them, against a real moto server; looked at with the AWS CLI.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delegation;
mod doctor;
mod edge_report;
mod explain;
mod gate;
mod gc;
mod machines;
mod permissions;
mod rights;
mod secret;
mod setup;
mod stage;
mod started;
mod templates;
mod up;
