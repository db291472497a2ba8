//! Real peers for the tests, each started on a free port and killed (and waited for) on drop.
//!
//! A peer that is not installed is an error that names the command that installs it, never a silent skip.

pub mod acme;
pub mod dns;
pub mod openssh;
pub mod origin;
pub mod process;
