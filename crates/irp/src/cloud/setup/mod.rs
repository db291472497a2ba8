//! What an account needs for one public name: what is there is compared with what is wanted, and only the difference
//! is made.
//!
//! [`blueprint()`] says what is wanted, [`look()`](look::look) finds what is there, [`plan()`](plan::plan) (pure)
//! tells the difference, [`Builder`](apply::Builder) makes it; [`remove`] goes the other way.

pub(crate) mod apply;
pub(crate) mod look;
pub(crate) mod plan;
pub(crate) mod remove;

use irp_aws::ec2::{Filter, Vpc};
use irp_launch::{
    policy::{Edge, Place, RoleNameError},
    price,
    settings::Settings,
    setup::{Blueprint, Bucket, Group, Role, Tags, Template},
    tags,
    values::{Arch, Image},
};

use self::look::Sought;
use super::{
    account::{Account, explain},
    zone::Zone,
};
use crate::{
    cli::setup::Wishes,
    error::{Failure, Kind},
};

/// What the root device is called where nobody can tell: so it is on Amazon Linux and Debian.
pub(crate) const ROOT_DEVICE: &str = "/dev/xvda";

/// Where the edge lives.
pub(crate) fn place(account: &Account, zone: &Zone) -> Place {
    let region = account.aws.region();
    Place {
        partition: account.aws.partition().name().to_owned(),
        region: region.to_owned(),
        account: account.id.clone(),
        zone_id: zone.id.clone(),
        bucket: Some(tags::bucket(&account.id, region)),
    }
}

/// By which names what was set up is found again, in whatever network and from whatever image it was made.
///
/// # Errors
///
/// When no role can have such a name.
pub(crate) fn sought(
    account: &Account,
    zone: &Zone,
    settings: &Settings,
    wishes: &Wishes,
) -> Result<Sought, Failure> {
    Ok(Sought {
        name: settings.name.clone(),
        zone_id: zone.id.clone(),
        role: Edge::of(settings).role_name().map_err(too_long)?,
        template: wishes.launch_template.clone(),
        bucket: tags::bucket(&account.id, account.aws.region()),
        vpc_id: None,
    })
}

/// A label that makes no name of a role.
pub(crate) fn too_long(error: RoleNameError) -> Failure {
    Failure::new(Kind::Config, "no role can be named after this host")
        .because(&error)
        .hint("choose a shorter --host-name, or type --no-role")
}

/// What is wanted.
///
/// # Errors
///
/// When there is no such network or image, or no role can have such a name.
pub(crate) async fn blueprint(
    account: &Account,
    zone: &Zone,
    settings: &Settings,
    wishes: &Wishes,
) -> Result<Blueprint, Failure> {
    let (edge, place) = (Edge::of(settings), place(account, zone));
    let own: Tags = wishes.tags.iter().cloned().collect();
    let role = Role::of(&edge, &place, wishes.permissions_boundary.clone()).map_err(too_long)?;
    let kms_key = settings.kms_key.as_ref().map(|key| key.value.to_string());
    let circumstances =
        tags::Circumstances { owner: &account.caller_arn, zone_id: &zone.id, user: wishes.image.user() };
    let mut machine_tags = own.clone();
    machine_tags.extend(tags::of_machine(settings, circumstances));
    let mut group_tags = own.clone();
    group_tags.extend(tags::of_group());
    let vpc_id = network(account, wishes).await?;
    let instance_type =
        settings.instance_type.as_ref().map_or(price::DEFAULT_TYPE, |kind| kind.value.as_str());
    let (image, root_device) = image(account, &wishes.image, arch(settings)).await?;
    Ok(Blueprint {
        caa: Blueprint::caa_of(&edge, settings.acme_directory.is_none()),
        role,
        group: Group { vpc_id, tags: group_tags },
        template: Template {
            name: wishes.launch_template.clone(),
            image,
            root_device,
            instance_type: instance_type.to_owned(),
            is_burstable: is_burstable(instance_type),
            subnet_id: wishes.subnet.clone(),
            kms_key: kms_key.clone(),
            machine_tags,
        },
        bucket: Bucket { name: tags::bucket(&account.id, account.aws.region()), kms_key },
        tags: Blueprint::tags_of(&settings.name, &own),
        name: settings.name.clone(),
        zone_id: zone.id.clone(),
    })
}

/// The smallest machine, which is meant where none is named, is an Arm.
fn arch(settings: &Settings) -> Arch {
    settings.instance_type.as_ref().map_or(Arch::Aarch64, |kind| kind.value.arch())
}

/// Whether the type earns credits for its processor.
pub(crate) fn is_burstable(instance_type: &str) -> bool {
    matches!(instance_type.split('.').next(), Some("t2" | "t3" | "t3a" | "t4g"))
}

async fn network(account: &Account, wishes: &Wishes) -> Result<String, Failure> {
    let ec2 = account.aws.ec2();
    if let Some(subnet) = &wishes.subnet {
        let found =
            ec2.subnets(&[Filter::new("subnet-id", [subnet])]).await.map_err(|error| explain(&error))?;
        let Some(subnet) = found.into_iter().next() else {
            return Err(absent("subnet", subnet, account));
        };
        if let Some(vpc) = wishes.vpc.as_ref().filter(|vpc| **vpc != subnet.vpc_id) {
            let text = format!("the subnet {} is in {}, not in {vpc}", subnet.id, subnet.vpc_id);
            return Err(Failure::new(Kind::Config, text).hint("leave --vpc out: it follows from --subnet"));
        }
        return Ok(subnet.vpc_id);
    }
    let filter = match &wishes.vpc {
        Some(vpc) => Filter::new("vpc-id", [vpc]),
        None => Filter::new("is-default", ["true"]),
    };
    let found: Option<Vpc> = ec2.vpcs(&[filter]).await.map_err(|error| explain(&error))?.into_iter().next();
    match (found, &wishes.vpc) {
        (Some(vpc), _) => Ok(vpc.id),
        (None, Some(vpc)) => Err(absent("network", vpc, account)),
        (None, None) => Err(no_default_vpc(account)),
    }
}

/// The region has no network that could be meant where none is named.
pub(crate) fn no_default_vpc(account: &Account) -> Failure {
    Failure::new(Kind::Cloud, format!("there is no default VPC in {}", account.aws.region()))
        .hint("name a subnet with a way to the Internet: --subnet subnet-…")
        .hint("or make a default VPC: aws ec2 create-default-vpc")
}

/// What was named is not there.
pub(crate) fn absent(what: &str, id: &str, account: &Account) -> Failure {
    Failure::new(Kind::Cloud, format!("there is no {what} {id} in {}", account.aws.region()))
        .hint("is it in another region or account? See --region and --profile")
}

/// The image as a launch template names it, and its root device.
async fn image(account: &Account, image: &Image, arch: Arch) -> Result<(String, String), Failure> {
    let id = image_id(account, image, arch).await?;
    // Resolved at each launch, so that the template does not grow old.
    let text =
        image.parameter(arch).map_or_else(|| id.clone(), |parameter| format!("resolve:ssm:{parameter}"));
    let images = account.aws.ec2().images(&[&id]).await.map_err(|error| explain(&error))?;
    let device = images.into_iter().next().and_then(|image| image.root_device_name);
    Ok((text, device.unwrap_or_else(|| ROOT_DEVICE.to_owned())))
}

/// The id of today's image for this processor.
///
/// # Errors
///
/// Of kind [`Kind::Cloud`], when AWS names none here, or refuses.
pub(crate) async fn image_id(account: &Account, image: &Image, arch: Arch) -> Result<String, Failure> {
    let Some(parameter) = image.parameter(arch) else { return Ok(image.to_string()) };
    let found = account.aws.ssm().parameter(&parameter).await.map_err(|error| explain(&error))?;
    let Some(found) = found else {
        return Err(Failure::new(Kind::Cloud, format!("AWS names no image {image} for {arch} here"))
            .cause(format!("there is no parameter {parameter}"))
            .hint("choose another with --image"));
    };
    Ok(secrecy::ExposeSecret::expose_secret(&found.value).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_a_matter_of_the_t_families() {
        for (name, is) in
            [("t4g.nano", true), ("t3a.small", true), ("trn1.2xlarge", false), ("m7g.medium", false)]
        {
            assert_eq!(is_burstable(name), is, "{name}");
        }
    }
}
