//! Security groups and programs that nobody uses any more.

use std::time::{Duration, SystemTime};

use irp_aws::{
    Kind as Refusal,
    ec2::{Filter, State},
    s3::Bucket,
};
use irp_launch::{price, setup::PROGRAM_DAYS, tags};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Leftover, What};
use crate::{
    cloud::{
        account::{Account, explain},
        machines::Machine,
        setup::look,
    },
    error::{Failure, Kind},
};

/// How long the bucket keeps a program by its own rule, and a day, since rules run once a day.
const KEPT: Duration = Duration::from_secs((PROGRAM_DAYS as u64 + 1) * 86_400);

/// irp's groups in networks where nothing of irp is: no machine, and in the region no launch template that names one.
pub(super) async fn groups(account: &Account, all: &[Machine]) -> Result<Vec<Leftover>, Failure> {
    let ec2 = account.aws.ec2();
    let groups = look::groups(account).await?;
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let templates = ec2.launch_templates_where(&[Filter::new("tag-key", [tags::NAME])]).await;
    if !templates.map_err(|error| explain(&error))?.is_empty() {
        return Ok(Vec::new());
    }
    let is_used = |id: &String| {
        all.iter().any(|machine| machine.state != State::Terminated && machine.groups.contains(id))
    };
    let unused = groups.into_iter().filter(|group| !is_used(&group.id));
    Ok(unused
        .map(|group| Leftover {
            why: "no machine and no launch template of irp uses it".to_owned(),
            what: What::Group { id: group.id },
            cost_usd_per_month: Some(0.0),
        })
        .collect())
}

/// Programs in the bucket that its own rule should have removed.
pub(super) async fn objects(account: &Account, now: SystemTime) -> Result<Vec<Leftover>, Failure> {
    let name = tags::bucket(&account.id, account.aws.region());
    let bucket: Bucket =
        name.parse().map_err(|error| Failure::new(Kind::Internal, "no bucket").because(&error))?;
    let objects = match account.aws.s3().list_objects(&bucket, tags::PROGRAMS).await {
        Ok(objects) => objects,
        Err(error) if error.kind() == Refusal::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(explain(&error)),
    };
    let is_old = |modified: &str| {
        let at = OffsetDateTime::parse(modified, &Rfc3339).ok().map(SystemTime::from);
        at.and_then(|at| now.duration_since(at).ok()).is_some_and(|age| age > KEPT)
    };
    let old = objects.into_iter().filter(|object| is_old(&object.last_modified));
    Ok(old
        .map(|object| Leftover {
            what: What::Object { bucket: name.clone(), key: object.key },
            why: format!("older than {PROGRAM_DAYS} days, and still there"),
            cost_usd_per_month: Some(price::storage_month(object.size)),
        })
        .collect())
}
