//! `irp secret` and `irp forget` as they are typed.

use clap::{Args, Subcommand};

use super::{aws::Access, launch};

/// Keep a signing secret in the account
#[derive(Args, Debug)]
pub(crate) struct Secret {
    #[command(subcommand)]
    pub(crate) command: SecretCommand,
}

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    Put(Box<Put>),
}

/// Store a signing secret, encrypted, where only the machine of this name reads it
#[derive(Args, Debug)]
#[command(long_about = "\
Store a signing secret, encrypted, where only the machine of this name reads it.

It becomes the parameter /irp/secret/HOST/PROVIDER of AWS Systems Manager. The secret is in the environment, under the \
provider's usual name (SLACK_SIGNING_SECRET, GITHUB_WEBHOOK_SECRET, …), or comes on stdin, or is asked for; it is never \
typed on the command line, where other users of this PC could see it.")]
#[command(after_long_help = "\
Examples:
  irp secret put slack                      asks for it
  irp secret put slack < secret.txt
  irp secret put github --env HOOK_SECRET")]
pub(crate) struct Put {
    /// The provider: slack, github, stripe, line or another one
    pub(crate) provider: String,
    /// The environment variable with the secret [default: the provider's usual one, if it is set]
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) env: Option<String>,
    #[command(flatten)]
    pub(crate) settings: launch::Settings,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// Delete all that is kept of a name
#[derive(Args, Debug)]
#[command(long_about = "\
Delete all that is kept of a name in Parameter Store: certificate, keys, account and signing secrets. The next launch \
of the name begins anew, and orders a certificate (Let's Encrypt gives five a week for one name).

The certificate is not revoked: its key is deleted, and it ends by itself.

A machine of the name must not run: it has all of it in its memory.")]
#[command(after_long_help = "\
Examples:
  irp forget alice
  irp forget alice.proxy.example.com --dry-run")]
pub(crate) struct Forget {
    /// The public name, or its first label
    pub(crate) name: String,
    /// Show what would be deleted, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) settings: launch::Settings,
    #[command(flatten)]
    pub(crate) access: Access,
}
