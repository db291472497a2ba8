//! The steps of a launch, and how they read.

use std::fmt;

use super::FoundImage;
use crate::{tags, values::InstanceType};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A machine that runs is used.
    Use {
        /// `i-…`.
        id: String,
    },
    /// The program goes to the bucket.
    Upload {
        /// The bucket.
        bucket: String,
        /// Its key there.
        key: String,
        /// Its size.
        bytes: u64,
    },
    /// A security group is made, and port 443 opened in it.
    MakeGroup {
        /// In which network.
        vpc: String,
    },
    /// Port 443 of the security group is opened.
    OpenGroup {
        /// `sg-…`.
        id: String,
    },
    /// The machine is ordered.
    Launch(Launch),
    /// An Elastic IP address is attached to it.
    Attach {
        /// `eipalloc-…`.
        address: String,
    },
    /// The record of the name is set from this PC.
    Point {
        /// The public name.
        name: String,
    },
    /// Its edge answers, and its record leads to it.
    Await {
        /// The public name.
        name: String,
    },
    /// The tunnel.
    Connect,
}

/// The order of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The kind of machine; `None` where the template names it.
    pub instance_type: Option<InstanceType>,
    /// The image; `None` where the template names it.
    pub image: Option<FoundImage>,
    /// The launch template.
    pub template: Option<String>,
    /// The instance profile.
    pub profile: Option<String>,
    /// Whether AWS may take it away again.
    pub spot: bool,
    /// Where to try, in turn; empty where the template decides.
    pub networks: Vec<Network>,
}

/// Where a machine could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// `subnet-…`.
    pub subnet: String,
    /// `vpc-…`.
    pub vpc: String,
    /// The availability zone.
    pub zone: String,
    /// Whether it gets an IPv6 address.
    pub ipv6: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Use { id } => write!(f, "use {id}, which runs"),
            Self::Upload { bucket, key, bytes } => {
                write!(f, "upload the program, {} MiB, to s3://{bucket}/{key}", bytes.div_ceil(1 << 20))
            }
            Self::MakeGroup { vpc } => {
                write!(f, "make the security group {} in {vpc}, open at port 443 only", tags::GROUP_NAME)
            }
            Self::OpenGroup { id } => write!(f, "open port 443 of the security group {id}"),
            Self::Launch(launch) => launch.fmt(f),
            Self::Attach { address } => write!(f, "attach {address}"),
            Self::Point { name } => write!(f, "point {name} at it"),
            Self::Await { name } => write!(f, "wait until its edge answers and {name} leads to it"),
            Self::Connect => f.write_str("connect"),
        }
    }
}

impl fmt::Display for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance_type {
            Some(kind) => write!(f, "launch a {kind}")?,
            None => f.write_str("launch a machine")?,
        }
        if self.spot {
            f.write_str(" (spot)")?;
        }
        if let Some(image) = &self.image {
            write!(f, " from {}", image.id)?;
        }
        if let Some(template) = &self.template {
            write!(f, " with the launch template {template}")?;
        }
        if let Some(first) = self.networks.first() {
            write!(f, " in {}, {}", first.zone, first.subnet)?;
        }
        if let Some(profile) = &self.profile {
            write!(f, ", role {profile}")?;
        }
        Ok(())
    }
}
