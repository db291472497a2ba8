//! Real peers for the tests, each started on a free port and killed (and waited for) on drop.
//!
//! A peer that is not installed is an error that names the command that installs it, never a silent skip.
//!
//! - [`origin`]: programs behind a tunnel, from a friendly echo to one that lies about its lengths;
//! - [`visitor`]: those who call a public URL, from curl to one that stops reading;
//! - [`authority`]: a certificate authority for both;
//! - [`acme`], [`dns`], [`openssh`]: programs of others that the edge talks to;
//! - [`imds`]: the metadata service of a machine in EC2;
//! - [`iam`]: who may do what by a policy;
//! - [`machine`], [`namespace`]: a machine that boots, and the network around it;
//! - [`moto`], [`route53`], [`scripted`], [`detour`], [`session_manager`]: AWS as far as its stand-ins go, its zones, and
//!   what lies beyond;
//! - [`sns`]: a provider of webhooks that has to be asked for its certificate;
//! - [`process`], [`running`], [`python`], [`port`], [`descriptors`], [`memory`], [`patience`]: running them, making room,
//!   weighing, waiting.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test peer fails by panicking")]

pub mod acme;
pub mod authority;
pub mod canned_ca;
pub mod descriptors;
pub mod detour;
pub mod dns;
pub mod iam;
pub mod imds;
pub mod machine;
pub mod memory;
pub mod moto;
pub mod namespace;
pub mod node;
pub mod openssh;
pub mod origin;
pub mod patience;
pub mod port;
pub mod process;
pub mod python;
pub mod route53;
pub mod running;
pub mod scripted;
pub mod session_manager;
pub mod sns;
pub mod visitor;
