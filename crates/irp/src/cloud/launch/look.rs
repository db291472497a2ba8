//! What there is for a new machine.

use irp_aws::{
    Error, Kind as Refusal,
    ec2::{Filter, Subnet},
    s3::{Bucket, BucketError},
};
use irp_launch::{
    plan::{Found, FoundGroup, FoundImage, Place, PlanError, Wanted},
    setup::PORT,
    tags,
    values::Arch,
};

use super::Wishes;
use crate::{
    cloud::{
        account::{Account, explain},
        setup::{absent, image_id, look::group, no_default_vpc},
    },
    error::{Failure, Kind},
};

/// Looks for everything that the plan asks for.
///
/// # Errors
///
/// When AWS refuses or is not reached, or what was named is not there.
pub(crate) async fn look(account: &Account, wanted: &Wanted, wishes: &Wishes) -> Result<Found, Failure> {
    let mut found = Found::default();
    let failed = |error: Error| explain(&error);
    if wanted.template.is_none() {
        let arch = wanted.instance_type.as_ref().map_or(Arch::Aarch64, |kind| kind.arch());
        found.image = Some(image(account, wanted, arch).await?);
    }
    // A template says where machines are, unless the person does.
    if wanted.template.is_none() || wishes.subnet.is_some() || wishes.vpc.is_some() {
        found.places = places(account, wishes).await?;
        if let Some(first) = found.places.first() {
            found.group = group(account, &first.vpc).await?.map(|group| FoundGroup {
                open: group.ingress.iter().any(|rule| rule.opens(PORT)),
                id: group.id,
            });
        }
        if let Some(kind) = &wanted.instance_type {
            let offers = account.aws.ec2().offerings(kind.as_str()).await.map_err(failed)?;
            found.offered_in = offers.into_iter().map(|offer| offer.location).collect();
        }
    }
    if let Some(profile) = &wanted.profile {
        found.profile = match account.aws.iam().instance_profile(profile).await {
            Ok(profile) => Some(profile.is_some()),
            // Whoever may launch need not be allowed to look: the order itself tells then.
            Err(error) if error.kind() == Refusal::Denied => None,
            Err(error) => return Err(explain(&error)),
        };
    }
    if let Some(upload) = &wanted.upload {
        let no_bucket = |error: BucketError| Failure::new(Kind::Internal, "no bucket").because(&error);
        let bucket: Bucket = upload.bucket.parse().map_err(no_bucket)?;
        let s3 = account.aws.s3();
        found.bucket = s3.bucket_exists(&bucket).await.map_err(failed)?;
        if found.bucket {
            let key = tags::program_key(&upload.sha256);
            found.uploaded = s3.head_object(&bucket, &key).await.map_err(failed)?.is_some();
        }
    }
    Ok(found)
}

async fn image(account: &Account, wanted: &Wanted, arch: Arch) -> Result<FoundImage, Failure> {
    let id = image_id(account, &wanted.image, arch).await?;
    let images = account.aws.ec2().images(&[&id]).await.map_err(|error| explain(&error))?;
    let Some(image) = images.into_iter().next() else { return Err(absent("image", &id, account)) };
    let arch = match image.architecture.as_str() {
        "arm64" => Some(Arch::Aarch64),
        "x86_64" => Some(Arch::X86_64),
        _ => None,
    };
    let root_gib = image.root_gib();
    Ok(FoundImage { id, arch, root_device: image.root_device_name, root_gib })
}

/// Where a machine could be: the subnet that was named, else those of the network, public ones first.
async fn places(account: &Account, wishes: &Wishes) -> Result<Vec<Place>, Failure> {
    let ec2 = account.aws.ec2();
    let failed = |error: Error| explain(&error);
    if let Some(id) = &wishes.subnet {
        let subnets = ec2.subnets(&[Filter::new("subnet-id", [id])]).await.map_err(failed)?;
        let Some(subnet) = subnets.into_iter().next() else { return Err(absent("subnet", id, account)) };
        if let Some(vpc) = wishes.vpc.as_ref().filter(|vpc| **vpc != subnet.vpc_id) {
            let text = format!("the subnet {id} is in {}, not in {vpc}", subnet.vpc_id);
            return Err(Failure::new(Kind::Config, text).hint("leave --vpc out: it follows from --subnet"));
        }
        return Ok(vec![place(subnet)]);
    }
    let filter = match &wishes.vpc {
        Some(vpc) => Filter::new("vpc-id", [vpc]),
        None => Filter::new("is-default", ["true"]),
    };
    let vpc = ec2.vpcs(&[filter]).await.map_err(failed)?.into_iter().next();
    let vpc = match (vpc, &wishes.vpc) {
        (Some(vpc), _) => vpc.id,
        (None, Some(vpc)) => return Err(absent("network", vpc, account)),
        (None, None) => return Err(no_default_vpc(account)),
    };
    let mut subnets = ec2.subnets(&[Filter::new("vpc-id", [&vpc])]).await.map_err(failed)?;
    subnets.retain(|subnet| subnet.available_ip_address_count > 0);
    if subnets.iter().any(|subnet| subnet.map_public_ip_on_launch) {
        // The others have no way to the Internet, as a rule.
        subnets.retain(|subnet| subnet.map_public_ip_on_launch);
    }
    if subnets.is_empty() {
        return Err(Failure::new(
            Kind::Cloud,
            format!("the network {vpc} has no subnet with a free address"),
        )
        .hint("name one of another network: --subnet subnet-…"));
    }
    subnets.sort_by(|one, other| one.availability_zone.cmp(&other.availability_zone));
    Ok(subnets.into_iter().map(place).collect())
}

fn place(subnet: Subnet) -> Place {
    Place { subnet: subnet.id, vpc: subnet.vpc_id, zone: subnet.availability_zone, ipv6: subnet.has_ipv6 }
}

/// What would not work, in words.
pub(crate) fn explain_plan(error: &PlanError, account: &Account, host: &str) -> Failure {
    let failure = Failure::new(Kind::Cloud, error.to_string());
    match error {
        PlanError::NoNetwork => no_default_vpc(account),
        PlanError::NotOffered { offered, .. } if offered.is_empty() => {
            failure.hint("this region does not have it at all: choose another --instance-type or --region")
        }
        PlanError::NotOffered { offered, .. } => failure
            .hint(format!("it is offered in {}: name a subnet there with --subnet", offered.join(", ")))
            .hint("or choose another --instance-type"),
        PlanError::NoProfile(_) => failure.hint(format!("irp setup --host-name {host}   makes it")),
        PlanError::NoBucket(_) => failure
            .hint(format!("irp setup --host-name {host}   makes it"))
            .hint("or let the machine download the program: EDGE_DL_URL=https://… and EDGE_SHA256=…"),
        PlanError::ImageProcessor { wants, .. } => {
            failure.hint(format!("choose an --image for {wants}, or another --instance-type"))
        }
        PlanError::ProgramProcessor { has, .. } => {
            let fitting = match has {
                Arch::Aarch64 => irp_launch::price::DEFAULT_TYPE,
                Arch::X86_64 => irp_launch::price::DEFAULT_TYPE_X86_64,
            };
            failure
                .hint(format!("--instance-type {fitting} fits the program"))
                .hint("or name a program for that machine: --edge-binary FILE")
        }
        PlanError::Glibc { .. } => failure
            .hint("choose a newer image: --image debian")
            .hint("or name a program that was built on an older system: --edge-binary FILE"),
    }
}
