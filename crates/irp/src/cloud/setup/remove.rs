//! Taking away what a setup made for one name, and what nobody else needs any more.

use irp_aws::{Kind as Refusal, ec2::Filter, route53::Change, s3::Bucket};
use irp_launch::{policy::POLICY_NAME, setup::CAA, tags};

use super::look::{self, Found, Sought};
use crate::{
    cloud::account::{Account, explain},
    error::{Failure, Kind},
};

/// Something that can be taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// What it is, in a word.
    pub(crate) label: &'static str,
    /// Which one.
    pub(crate) name: String,
    /// Why it stays, where it does.
    pub(crate) stays: Option<String>,
}

/// What there is of a name, in the order in which it can go.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn leaving(
    account: &Account,
    sought: &Sought,
    found: &Found,
) -> Result<Vec<Leaving>, Failure> {
    let mut all = Vec::new();
    let mut add = |label, name: String, stays: Option<String>| all.push(Leaving { label, name, stays });
    let name = sought.name.as_str();
    let is_ours = |is_for: &Option<String>| is_for.as_deref() == Some(name);
    let not_ours = |is_for: &Option<String>| {
        (!is_ours(is_for))
            .then(|| is_for.as_ref().map_or("irp did not make it".into(), |of| format!("it is that of {of}")))
    };
    if let Some(set) = &found.caa {
        let is_same = set.values.len() == CAA.len()
            && CAA.iter().all(|value| set.values.iter().any(|own| own == value));
        add("caa", name.to_owned(), (!is_same).then(|| "somebody else wrote it".to_owned()));
    }
    if let Some(template) = &found.template {
        add("template", sought.template.clone(), not_ours(&template.is_for));
    }
    if let Some(role) = &sought.role {
        let stays = found.role.as_ref().and_then(|found| not_ours(&found.is_for));
        if found.profile.is_some() {
            add("profile", role.clone(), stays.clone());
        }
        if found.role.is_some() {
            add("role", role.clone(), stays);
        }
    }
    let others = others(account, name).await?;
    let shared = (!others.is_empty()).then(|| format!("{} uses it too", others.join(", ")));
    for group in look::groups(account).await? {
        add("group", group.id, shared.clone());
    }
    if found.bucket.is_some() {
        let stays = match shared {
            Some(shared) => Some(shared),
            None => kept(account, &sought.bucket).await?,
        };
        add("bucket", sought.bucket.clone(), stays);
    }
    Ok(all)
}

/// Other public names that were set up in this region.
async fn others(account: &Account, name: &str) -> Result<Vec<String>, Failure> {
    let filter = [Filter::new("tag-key", [tags::NAME])];
    let templates =
        account.aws.ec2().launch_templates_where(&filter).await.map_err(|error| explain(&error))?;
    let mut names: Vec<String> =
        templates.into_iter().filter_map(|template| template.tags.get(tags::NAME).cloned()).collect();
    names.retain(|other| other != name);
    names.sort();
    names.dedup();
    Ok(names)
}

/// Why a bucket stays: what is in it beside programs, which can be uploaded again.
async fn kept(account: &Account, bucket: &str) -> Result<Option<String>, Failure> {
    let bucket = parsed(bucket)?;
    let objects = account.aws.s3().list_objects(&bucket, "").await.map_err(|error| explain(&error))?;
    let kept = objects.iter().find(|object| !object.key.starts_with(tags::PROGRAMS));
    Ok(kept.map(|object| format!("there is more in it, such as {}", object.key)))
}

fn parsed(bucket: &str) -> Result<Bucket, Failure> {
    bucket
        .parse()
        .map_err(|error| Failure::new(Kind::Internal, "no bucket can have this name").because(&error))
}

/// Takes one thing away. `false` when it is in use and stays.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn remove(
    account: &Account,
    sought: &Sought,
    found: &Found,
    leaving: &Leaving,
) -> Result<bool, Failure> {
    let (aws, name) = (&account.aws, leaving.name.as_str());
    let removed = match leaving.label {
        "caa" => match &found.caa {
            Some(set) => {
                aws.route53().change(&sought.zone_id, &[Change::Delete(set.clone())]).await.map(drop)
            }
            None => Ok(()),
        },
        "template" => aws.ec2().delete_launch_template(name).await.map(drop),
        "profile" => {
            let iam = aws.iam();
            match iam.remove_role_from_profile(name, name).await {
                Ok(_) => iam.delete_instance_profile(name).await.map(drop),
                Err(error) => Err(error),
            }
        }
        "role" => {
            let iam = aws.iam();
            match iam.delete_role_policy(name, POLICY_NAME).await {
                Ok(_) => iam.delete_role(name).await.map(drop),
                Err(error) => Err(error),
            }
        }
        "group" => aws.ec2().delete_security_group(name).await,
        _ => empty_and_delete(account, &parsed(name)?).await,
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Refusal::InUse => Ok(false),
        Err(error) => Err(explain(&error)),
    }
}

async fn empty_and_delete(account: &Account, bucket: &Bucket) -> Result<(), irp_aws::Error> {
    let s3 = account.aws.s3();
    for object in s3.list_objects(bucket, tags::PROGRAMS).await? {
        s3.delete_object(bucket, &object.key, &irp_aws::s3::When::Always).await?;
    }
    s3.delete_bucket(bucket).await.map(drop)
}
