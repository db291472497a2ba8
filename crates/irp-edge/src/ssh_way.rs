//! Stock OpenSSH as a tunnel, put together: what listens becomes a route, SSH on the public port gets our sshd.
//!
//! Linux alone tells an edge who listens and who has logged in; on other systems there is no such way.

#[cfg_attr(target_os = "linux", path = "ssh_way/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "ssh_way/elsewhere.rs")]
mod system;

pub(crate) use self::system::{Handover, RunningSshWay, open};
pub use self::system::{SshWay, SshWayError};
