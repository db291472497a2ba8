//! From what is wanted and what exists to steps: the launch of a machine as a pure function.
//!
//! # Contract
//!
//! - A machine of the name that runs is used; nothing else is made then. So `irp up` may be typed as often as one likes.
//! - What cannot work is told before anything is made: no network, no role, the wrong processor, a glibc too old.
//! - [`client_token`] orders one machine however often, and from however many PCs, the same launch is tried.

mod step;
mod token;

pub use self::{
    step::{Launch, Network, Step},
    token::{client_token, settles_in},
};
use crate::{
    program::Program,
    tags,
    values::{Arch, Image, InstanceType},
};

/// What a person wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The public name.
    pub name: String,
    /// The kind of machine; `None` where the template decides.
    pub instance_type: Option<InstanceType>,
    /// What it is started from.
    pub image: Image,
    /// Whether AWS may take it away again, for less money.
    pub spot: bool,
    /// A launch template that says what is not said here.
    pub template: Option<String>,
    /// The instance profile that it gets; `None` where the template names one, or none is to be used.
    pub profile: Option<String>,
    /// Whether the PC sets the record of the name, for a machine that cannot.
    pub sets_record: bool,
    /// An Elastic IP address that is to be attached, `eipalloc-…`.
    pub address: Option<String>,
    /// A program that is to be uploaded for it.
    pub upload: Option<Upload>,
}

/// A program on this PC that the machine is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// What it needs.
    pub program: Program,
    /// Its hash, which is its key.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Where it goes.
    pub bucket: String,
}

/// A machine of this name that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// `i-…`.
    pub id: String,
    /// Whether it is or will be running.
    pub alive: bool,
}

/// What there is for a new machine.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The image; `None` where the template names it.
    pub image: Option<FoundImage>,
    /// Where it could be, best first; empty where the template decides.
    pub places: Vec<Place>,
    /// The zones that offer the type.
    pub offered_in: Vec<String>,
    /// The security group of edges in that network.
    pub group: Option<FoundGroup>,
    /// Whether the instance profile exists; `None` where the caller may not look.
    pub profile: Option<bool>,
    /// Whether the bucket for programs exists, and has the one to upload.
    pub bucket: bool,
    /// See `bucket`.
    pub uploaded: bool,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundImage {
    /// `ami-…`.
    pub id: String,
    /// Its processor.
    pub arch: Option<Arch>,
    /// Its root device, such as `/dev/xvda`.
    pub root_device: Option<String>,
    /// The size of its root volume in GiB, where it is known.
    pub root_gib: Option<u32>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `subnet-…`.
    pub subnet: String,
    /// `vpc-…`.
    pub vpc: String,
    /// The availability zone.
    pub zone: String,
    /// Whether machines in it get IPv6 addresses.
    pub ipv6: bool,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGroup {
    /// `sg-…`.
    pub id: String,
    /// Whether it lets everybody reach port 443.
    pub open: bool,
}

/// Why no machine can be launched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no network for it.
    #[error("there is no default network (VPC) in this region")]
    NoNetwork,
    /// No zone of the network has the type.
    #[error("{kind} is not offered in {}", wanted.join(", "))]
    NotOffered {
        /// The type.
        kind: String,
        /// Where it was wanted.
        wanted: Vec<String>,
        /// Where it is offered.
        offered: Vec<String>,
    },
    /// The role of this name was not made yet.
    #[error(
        "the instance profile {0} does not exist: the machine could neither make its record nor keep its certificate"
    )]
    NoProfile(String),
    /// There is nowhere to put the program.
    #[error("the bucket {0}, in which the program for the machine would be, does not exist")]
    NoBucket(String),
    /// Image and type do not fit.
    #[error("{image} is an image for {has}, and {kind} is {wants}")]
    ImageProcessor {
        /// The image.
        image: String,
        /// What it is for.
        has: Arch,
        /// The type.
        kind: String,
        /// What that is.
        wants: Arch,
    },
    /// Program and type do not fit.
    #[error("the program for the machine is for {has}, and {kind} is {wants}")]
    ProgramProcessor {
        /// What the program is for.
        has: Arch,
        /// The type.
        kind: String,
        /// What that is.
        wants: Arch,
    },
    /// The program was linked on a newer system.
    #[error("the program for the machine needs glibc {}.{}, and {image} has {}.{}", needs.0, needs.1, has.0, has.1)]
    Glibc {
        /// What it needs.
        needs: (u32, u32),
        /// The image.
        image: Image,
        /// What that has.
        has: (u32, u32),
    },
}

/// The machine to use, where there is one: the oldest that lives, so that all who ask get the same.
#[must_use]
pub fn to_use(existing: &[Existing]) -> Option<&Existing> {
    existing.iter().find(|machine| machine.alive)
}

/// The steps towards a new machine.
///
/// # Errors
///
/// What would not work, before anything is made.
pub fn launch(wanted: &Wanted, found: &Found) -> Result<Vec<Step>, PlanError> {
    check(wanted, found)?;
    let mut steps = Vec::new();
    if let Some(upload) = wanted.upload.as_ref().filter(|_| !found.uploaded) {
        steps.push(Step::Upload {
            bucket: upload.bucket.clone(),
            key: tags::program_key(&upload.sha256),
            bytes: upload.bytes,
        });
    }
    let networks = networks(wanted, found)?;
    if let Some(Network { vpc, .. }) = networks.first() {
        match &found.group {
            None => steps.push(Step::MakeGroup { vpc: vpc.clone() }),
            Some(group) if !group.open => steps.push(Step::OpenGroup { id: group.id.clone() }),
            Some(_) => {}
        }
    }
    steps.push(Step::Launch(Launch {
        instance_type: wanted.instance_type.clone(),
        image: found.image.clone(),
        template: wanted.template.clone(),
        profile: wanted.profile.clone(),
        spot: wanted.spot,
        networks,
    }));
    if let Some(address) = &wanted.address {
        steps.push(Step::Attach { address: address.clone() });
    }
    steps.extend(wanted.sets_record.then(|| Step::Point { name: wanted.name.clone() }));
    steps.extend([Step::Await { name: wanted.name.clone() }, Step::Connect]);
    Ok(steps)
}

/// The steps to a machine that runs; `sets_record` as in [`Wanted`].
#[must_use]
pub fn reuse(id: &str, name: &str, address: Option<&str>, sets_record: bool) -> Vec<Step> {
    let mut steps = vec![Step::Use { id: id.to_owned() }];
    steps.extend(address.map(|address| Step::Attach { address: address.to_owned() }));
    steps.extend(sets_record.then(|| Step::Point { name: name.to_owned() }));
    steps.extend([Step::Await { name: name.to_owned() }, Step::Connect]);
    steps
}

fn check(wanted: &Wanted, found: &Found) -> Result<(), PlanError> {
    if let Some(profile) = wanted.profile.as_ref().filter(|_| found.profile == Some(false)) {
        return Err(PlanError::NoProfile(profile.clone()));
    }
    let kind = wanted.instance_type.as_ref().map(|kind| (kind.to_string(), kind.arch()));
    if let (Some(FoundImage { id, arch: Some(has), .. }), Some((kind, wants))) = (&found.image, &kind)
        && has != wants
    {
        let (kind, wants) = (kind.clone(), *wants);
        return Err(PlanError::ImageProcessor { image: id.clone(), has: *has, kind, wants });
    }
    let Some(upload) = &wanted.upload else { return Ok(()) };
    let Program { arch: has, glibc } = upload.program;
    if let Some((kind, wants)) = kind
        && has != wants
    {
        return Err(PlanError::ProgramProcessor { has, kind, wants });
    }
    // What image a template has, nobody tells.
    let image_glibc = if wanted.template.is_some() { None } else { wanted.image.glibc() };
    if let (Some(needs), Some(has)) = (glibc, image_glibc)
        && needs > has
    {
        return Err(PlanError::Glibc { needs, image: wanted.image.clone(), has });
    }
    if !found.bucket {
        return Err(PlanError::NoBucket(upload.bucket.clone()));
    }
    Ok(())
}

/// Where to try, in turn: places whose zone has the type.
fn networks(wanted: &Wanted, found: &Found) -> Result<Vec<Network>, PlanError> {
    if found.places.is_empty() {
        return if wanted.template.is_some() { Ok(Vec::new()) } else { Err(PlanError::NoNetwork) };
    }
    let decided = wanted.instance_type.is_none();
    let is_offered = |place: &&Place| decided || found.offered_in.contains(&place.zone);
    // The group belongs to one network: all tries are in that.
    let vpc = &found.places[0].vpc;
    let fitting: Vec<_> = found
        .places
        .iter()
        .filter(is_offered)
        .filter(|place| place.vpc == *vpc)
        .map(|place| Network {
            subnet: place.subnet.clone(),
            vpc: place.vpc.clone(),
            zone: place.zone.clone(),
            ipv6: place.ipv6,
        })
        .collect();
    if fitting.is_empty() {
        return Err(PlanError::NotOffered {
            kind: wanted.instance_type.as_ref().map(ToString::to_string).unwrap_or_default(),
            wanted: found.places.iter().map(|place| place.zone.clone()).collect(),
            offered: found.offered_in.clone(),
        });
    }
    Ok(fitting)
}

#[cfg(test)]
mod tests;
