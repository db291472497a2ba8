//! `irp doctor` as it is typed.

use std::net::SocketAddr;

use clap::Args;
use irp_launch::values::Image;

use super::{aws::Access, launch};
use crate::cloud::resolver;

/// Check everything that a launch needs
#[derive(Args, Debug)]
#[command(long_about = "\
Check everything that a launch needs: settings, credentials, zone and delegation, CAA records, role, network, image, \
quota, and whether a machine that runs is reached.

Each line begins with ✓, ✗ or –, the last where nobody can tell; below each ✗ stands what mends it. Nothing is \
changed. It ends with 0 when nothing is wrong.")]
#[command(after_long_help = "\
Examples:
  irp doctor
  irp doctor --profile work --json
  irp doctor --resolver 192.0.2.53     ask another name server than the system's")]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) settings: launch::Settings,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Where machines are [default: a default subnet]
    #[arg(long, value_name = "ID", help_heading = "AWS")]
    pub(crate) subnet: Option<String>,
    /// What machines are made from: al2023, debian, ubuntu or ami-… [default: al2023]
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "al2023",
        hide_default_value = true,
        help_heading = "AWS"
    )]
    pub(crate) image: Image,
    /// Ask this name server [default: IRP_RESOLVER, or the system's first]
    #[arg(long, value_name = "ADDRESS", value_parser = resolver::server)]
    pub(crate) resolver: Option<SocketAddr>,
}
