//! `irp setup` as it is typed.

use clap::{Args, ValueEnum};
use irp_launch::{setup::TEMPLATE_NAME, values::Image};

use super::{aws::Access, launch};

/// Prepare the AWS account for a public name, once
#[derive(Args, Debug)]
#[command(long_about = "\
Prepare the AWS account for a public name, once.

It makes what a machine of that name needs: a role with the least rights that work, its instance profile, a \
security group that is open at 443 only, a launch template, a private bucket, and a CAA record by which only the \
machine itself gets a certificate for the name. It shows what is there and what is missing, makes what is missing, \
and does no harm when it is run again. Everything carries tags; nothing else in the account is touched.

Who may not make roles types --no-role: the machine then has no rights in the account, so the name is set by \
the PC that launches it, certificates are not kept between launches, and a proof by its address has to count.")]
#[command(after_long_help = "\
Examples:
  irp setup --hosted-zone-domain proxy.example.com
  irp setup --dry-run
  irp setup --create-zone              make the zone as well, and tell what its parent has to delegate
  irp setup --print terraform > irp.tf.json
  irp setup --print policy | jq .user  what people need who launch machines
  irp setup --delete")]
pub(crate) struct Setup {
    #[command(flatten)]
    pub(crate) settings: launch::Settings,
    #[command(flatten)]
    pub(crate) access: Access,
    #[command(flatten)]
    pub(crate) wishes: Wishes,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print it on stdout instead of making it: policy, cloudformation or terraform
    #[arg(long, value_name = "WHAT", value_enum, hide_possible_values = true)]
    #[arg(conflicts_with_all = ["dry_run", "delete"])]
    pub(crate) print: Option<Print>,
    /// Remove what setup made for this name, and what no other name shares with it
    #[arg(long, conflicts_with = "create_zone")]
    pub(crate) delete: bool,
}

/// What it is to be like.
#[derive(Args, Debug)]
#[command(next_help_heading = "Account")]
pub(crate) struct Wishes {
    /// Make the public hosted zone if there is none
    #[arg(long)]
    pub(crate) create_zone: bool,
    /// The network of the security group [default: that of --subnet, else the default VPC]
    #[arg(long, value_name = "ID")]
    pub(crate) vpc: Option<String>,
    /// Where machines are [default: a default subnet]
    #[arg(long, value_name = "ID")]
    pub(crate) subnet: Option<String>,
    /// What machines are made from: al2023, debian, ubuntu or ami-… [default: al2023]
    #[arg(long, value_name = "IMAGE", default_value = "al2023", hide_default_value = true)]
    pub(crate) image: Image,
    /// The name of the launch template
    #[arg(long, value_name = "NAME", default_value = TEMPLATE_NAME)]
    pub(crate) launch_template: String,
    /// A policy that the role cannot exceed
    #[arg(long, value_name = "ARN")]
    pub(crate) permissions_boundary: Option<String>,
    /// A tag for everything that is made; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub(crate) tags: Vec<(String, String)>,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Print {
    /// The policies of the role, of people, and of whoever runs `irp setup`.
    Policy,
    /// A template of CloudFormation, in JSON.
    Cloudformation,
    /// A configuration of Terraform, in JSON.
    Terraform,
}

/// The longest key of a tag (EC2 User Guide, "Tag restrictions").
const TAG_KEY_MAX: usize = 128;

/// A tag as it is typed.
pub(super) fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    let fits = |text: &str| {
        // What IAM takes, which is stricter than EC2; the machine's metadata take neither `/` nor a space in a key.
        text.chars().all(|c| c.is_alphanumeric() || "_.:=+-@".contains(c))
    };
    let value_fits = value.chars().all(|c| fits(&c.to_string()) || c == ' ' || c == '/');
    if key.is_empty() || key.chars().count() > TAG_KEY_MAX || !fits(key) {
        return Err("a key has 1 to 128 letters, digits or _.:+-@".to_owned());
    }
    if value.chars().count() > irp_launch::tags::VALUE_MAX || !value_fits {
        return Err("a value has at most 256 letters, digits, spaces or _.:=+-@/".to_owned());
    }
    if key.starts_with(irp_launch::tags::PREFIX) || key.to_ascii_lowercase().starts_with("aws:") {
        return Err("keys that begin with irp: or aws: are taken".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_key_and_value_and_not_irps_own() {
        assert_eq!(tag("team=web bots"), Ok(("team".into(), "web bots".into())));
        assert_eq!(tag("cost-center=a=b"), Ok(("cost-center".into(), "a=b".into())));
        assert_eq!(tag("empty="), Ok(("empty".into(), String::new())));
        for wrong in
            ["team", "=x", "irp:name=bob", "aws:x=y", "a/b=c", "a=<", &format!("a={}", "x".repeat(257))]
        {
            assert!(tag(wrong).is_err(), "{wrong}");
        }
    }
}
