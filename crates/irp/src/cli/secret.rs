//! `irp secret` and `irp forget` as they are typed.

use std::path::PathBuf;

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
Delete all that is kept of a name, in Parameter Store, and in S3 where CERT_STORE names a bucket: certificate, keys, \
account, signing secrets, and events that wait in the bucket of `irp setup`. The certificate is revoked first, so that nobody trusts it any more. The next launch of the \
name begins anew, and orders a certificate (Let's Encrypt gives five a week for one name).

A machine of the name must not run: it has all of it in its memory.")]
#[command(after_long_help = "\
Examples:
  irp forget alice
  irp forget alice.proxy.example.com --dry-run
  irp forget alice --no-revoke      the certificate authority is not asked; its key is deleted all the same")]
pub(crate) struct Forget {
    /// The public name, or its first label
    pub(crate) name: String,
    /// Show what would be deleted, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not revoke the certificate: it ends by itself
    #[arg(long)]
    pub(crate) no_revoke: bool,
    /// Trust these authorities (PEM) when the certificate authority is called, beside the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) acme_cacert: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: launch::Settings,
    #[command(flatten)]
    pub(crate) access: Access,
}
