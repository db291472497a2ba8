//! How a machine in AWS is reached: flags of `connect`, `ssh` and `logs`.

use clap::{Args, ValueEnum};

/// The port of sshd.
const SSH_PORT: u16 = 22;

/// A way to a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// tls, then ssm; for a machine with Caddy eic, then ssh
    #[default]
    Auto,
    /// Its public port
    Tls,
    /// A session of AWS Session Manager to that port: no rule of a security group is needed
    Ssm,
    /// A forward of the system's ssh, with your own key
    Ssh,
    /// A forward of the system's ssh, with a fresh key that EC2 Instance Connect pushes
    Eic,
}

/// How its sshd is reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Way")]
pub(crate) struct Ssh {
    /// Let ssh dial the machine's address instead of going through Session Manager
    #[arg(long)]
    pub(crate) direct: bool,
    /// The account of the machine [default: that of its image, as its tag says]
    #[arg(long, value_name = "USER")]
    pub(crate) os_user: Option<String>,
    /// The port of its sshd
    #[arg(long, value_name = "PORT", default_value_t = SSH_PORT)]
    pub(crate) ssh_port: u16,
}

impl Default for Ssh {
    fn default() -> Self {
        Self { direct: false, os_user: None, ssh_port: SSH_PORT }
    }
}
