//! What of a blueprint is there already.

use irp_aws::{
    Error, Kind as Refusal,
    ec2::{Filter, SecurityGroup},
    route53::RecordSet,
    s3::BucketSettings,
};
use irp_launch::{policy::POLICY_NAME, setup::Blueprint, tags};
use irp_wire::name::Hostname;
use serde_json::Value;

use crate::{
    cloud::account::{Account, explain},
    error::{Failure, Kind},
};

/// What was found. `None` is not there.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) role: Option<FoundRole>,
    /// The roles in the instance profile.
    pub(crate) profile: Option<Vec<String>>,
    /// In the network that was named.
    pub(crate) group: Option<SecurityGroup>,
    pub(crate) bucket: Option<BucketSettings>,
    pub(crate) template: Option<FoundTemplate>,
    pub(crate) caa: Option<RecordSet>,
}

/// A role of the wanted name.
#[derive(Debug, Default)]
pub(crate) struct FoundRole {
    /// The public name that it is for; `None` where irp did not make it.
    pub(crate) is_for: Option<String>,
    pub(crate) boundary: Option<String>,
    /// Its policy of irp's name.
    pub(crate) policy: Option<Value>,
    /// Names of all its inline policies.
    pub(crate) policies: Vec<String>,
}

/// A launch template of the wanted name.
#[derive(Debug, Default)]
pub(crate) struct FoundTemplate {
    /// The public name that it is for; `None` where irp did not make it.
    pub(crate) is_for: Option<String>,
    /// What the default version says of itself.
    pub(crate) description: Option<String>,
}

/// By which names things are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Sought {
    /// The public name.
    pub(crate) name: Hostname,
    /// The id of its zone.
    pub(crate) zone_id: String,
    /// Role and instance profile, where the name has them.
    pub(crate) role: Option<String>,
    /// The launch template.
    pub(crate) template: String,
    /// The bucket.
    pub(crate) bucket: String,
    /// The network of the group; `None` where groups are looked for otherwise.
    pub(crate) vpc_id: Option<String>,
}

impl Sought {
    /// Everything that the blueprint names.
    pub(crate) fn of(blueprint: &Blueprint) -> Self {
        Self {
            name: blueprint.name.clone(),
            zone_id: blueprint.zone_id.clone(),
            role: blueprint.role.as_ref().map(|role| role.name.clone()),
            template: blueprint.template.name.clone(),
            bucket: blueprint.bucket.name.clone(),
            vpc_id: Some(blueprint.group.vpc_id.clone()),
        }
    }
}

/// Looks for everything that is sought.
///
/// # Errors
///
/// When AWS refuses or is not reached; something of it being absent is no error.
pub(crate) async fn look(account: &Account, sought: &Sought) -> Result<Found, Failure> {
    let aws = &account.aws;
    let failed = |error: Error| explain(&error);
    let mut found = Found::default();
    if let Some(role) = &sought.role {
        let profile = aws.iam().instance_profile(role).await.map_err(failed)?;
        found.profile = profile.map(|profile| profile.roles.into_iter().map(|role| role.name).collect());
        found.role = role_named(account, role).await?;
    }
    if let Some(vpc_id) = &sought.vpc_id {
        found.group = group(account, vpc_id).await?;
    }
    found.bucket = bucket(account, &sought.bucket).await?;
    found.template = template(account, &sought.template).await?;
    let name = sought.name.as_str();
    found.caa = aws.route53().record_set(&sought.zone_id, name, "CAA").await.map_err(failed)?;
    Ok(found)
}

/// The role of a name, with its policy.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn role_named(account: &Account, name: &str) -> Result<Option<FoundRole>, Failure> {
    let iam = account.aws.iam();
    let failed = |error: Error| explain(&error);
    let Some(role) = iam.role(name).await.map_err(failed)? else { return Ok(None) };
    let policy = iam.role_policy(name, POLICY_NAME).await.map_err(failed)?;
    Ok(Some(FoundRole {
        is_for: role.tags.get(tags::NAME).cloned(),
        boundary: role.permissions_boundary,
        policy: policy.and_then(|text| serde_json::from_str(&text).ok()),
        policies: iam.role_policies(name).await.map_err(failed)?,
    }))
}

/// irp's security group of a network.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn group(account: &Account, vpc_id: &str) -> Result<Option<SecurityGroup>, Failure> {
    let filters = [Filter::new("vpc-id", [vpc_id]), Filter::new("group-name", [tags::GROUP_NAME])];
    let groups = account.aws.ec2().security_groups(&filters).await.map_err(|error| explain(&error))?;
    Ok(groups.into_iter().next())
}

/// irp's security groups in all networks of the region.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn groups(account: &Account) -> Result<Vec<SecurityGroup>, Failure> {
    let tagged = Filter::new(format!("tag:{}", tags::GROUP), [tags::GROUP_NAME]);
    account.aws.ec2().security_groups(&[tagged]).await.map_err(|error| explain(&error))
}

/// The settings of the bucket; `None` when there is none.
///
/// # Errors
///
/// When the name is somebody else's, or AWS refuses or is not reached.
pub(crate) async fn bucket(account: &Account, name: &str) -> Result<Option<BucketSettings>, Failure> {
    let bucket = name.parse().map_err(|error| Failure::new(Kind::Internal, "no bucket").because(&error))?;
    let s3 = account.aws.s3();
    match s3.bucket_exists(&bucket).await {
        Ok(false) => return Ok(None),
        Ok(true) => {}
        Err(error) if error.kind() == Refusal::Denied => {
            return Err(explain(&error).hint(format!("or the bucket {name} belongs to another account")));
        }
        Err(error) => return Err(explain(&error)),
    }
    s3.bucket_settings(&bucket).await.map(Some).map_err(|error| explain(&error))
}

async fn template(account: &Account, name: &str) -> Result<Option<FoundTemplate>, Failure> {
    let ec2 = account.aws.ec2();
    // By filter, which gives an empty list where a name that is asked for gives an error.
    let filters = [Filter::new("launch-template-name", [name])];
    let found = ec2.launch_templates_where(&filters).await.map_err(|error| explain(&error))?;
    let Some(template) = found.into_iter().find(|template| template.name == name) else { return Ok(None) };
    let described = ec2.launch_template_description(name, "$Default").await;
    Ok(Some(FoundTemplate {
        is_for: template.tags.get(tags::NAME).cloned(),
        description: described.map_err(|error| explain(&error))?,
    }))
}
