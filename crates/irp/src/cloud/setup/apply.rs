//! Making what is missing.

use std::time::Duration;

use irp_aws::{
    Error,
    ec2::Ingress,
    iam::CreateRole,
    route53::{Change, RecordSet},
    s3::Bucket,
};
use irp_launch::{
    policy::POLICY_NAME,
    setup::{Blueprint, CAA_TTL, PORT, PROGRAM_DAYS, Tags},
    tags,
};

use super::{
    look::Found,
    plan::{Item, Step, description, launch_data},
};
use crate::{
    cloud::account::{Account, explain},
    error::{Failure, Kind},
};

/// How long what was made a moment ago may be unknown to the next call.
const SETTLES: Duration = Duration::from_secs(60);

/// Makes items, one after another.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    account: &'a Account,
    blueprint: &'a Blueprint,
    found: &'a Found,
    /// The id of the security group, once there is one.
    group_id: Option<String>,
}

impl<'a> Builder<'a> {
    /// For what was found.
    pub(crate) fn new(account: &'a Account, blueprint: &'a Blueprint, found: &'a Found) -> Self {
        let group_id = found.group.as_ref().map(|group| group.id.clone());
        Self { account, blueprint, found, group_id }
    }

    /// Makes what is missing of an item.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached. What was made stays, and is found by the next setup.
    pub(crate) async fn make(&mut self, item: &Item) -> Result<(), Failure> {
        for step in &item.steps {
            match step {
                Step::CreateRole
                | Step::SetBoundary
                | Step::PutPolicy
                | Step::CreateProfile
                | Step::JoinProfile => self.role(*step).await,
                Step::CreateGroup | Step::OpenPort => self.group(*step).await,
                Step::CreateBucket | Step::ConfigureBucket => self.bucket(*step).await?,
                Step::CreateTemplate | Step::UpdateTemplate => self.template(*step).await,
                Step::WriteCaa | Step::RemoveCaa => self.caa(*step).await,
            }
            .map_err(|error| explain(&error))?;
        }
        Ok(())
    }

    async fn role(&self, step: Step) -> Result<(), Error> {
        let Some(role) = &self.blueprint.role else { return Ok(()) };
        let iam = self.account.aws.iam();
        let patient = iam.settling(SETTLES);
        let name = &role.name;
        match step {
            Step::CreateRole => {
                let create = CreateRole {
                    name: name.clone(),
                    trust: role.trust.json().to_string(),
                    description: format!("irp: machines of {}", self.blueprint.name),
                    permissions_boundary: role.boundary.clone(),
                    tags: self.blueprint.tags.clone(),
                };
                iam.create_role(&create).await.map(drop)
            }
            Step::SetBoundary => match &role.boundary {
                Some(boundary) => iam.put_role_boundary(name, boundary).await,
                None => Ok(()),
            },
            Step::PutPolicy => {
                patient.put_role_policy(name, POLICY_NAME, &role.policy.json().to_string()).await
            }
            Step::CreateProfile => iam.create_instance_profile(name, &self.blueprint.tags).await.map(drop),
            _ => patient.add_role_to_profile(name, name).await,
        }
    }

    async fn group(&mut self, step: Step) -> Result<(), Error> {
        if step == Step::CreateGroup {
            let group = &self.blueprint.group;
            self.group_id = Some(create_group(self.account, &group.vpc_id, &group.tags).await?);
            return Ok(());
        }
        match &self.group_id {
            Some(id) => open_port(self.account, id).await,
            None => Ok(()),
        }
    }

    async fn bucket(&self, step: Step) -> Result<Result<(), Error>, Failure> {
        let wanted = &self.blueprint.bucket;
        let bucket: Bucket = wanted
            .name
            .parse()
            .map_err(|error| Failure::new(Kind::Internal, "no bucket can have this name").because(&error))?;
        let s3 = self.account.aws.s3();
        if step == Step::CreateBucket {
            return Ok(s3.create_bucket(&bucket).await);
        }
        let configure = async {
            s3.block_public_access(&bucket).await?;
            s3.encrypt_bucket(&bucket, wanted.kms_key.as_deref()).await?;
            s3.expire_objects(&bucket, tags::PROGRAMS, PROGRAM_DAYS).await
        };
        Ok(configure.await)
    }

    async fn template(&self, step: Step) -> Result<(), Error> {
        let Some(group_id) = &self.group_id else { return Ok(()) };
        let data = launch_data(self.blueprint, group_id);
        let description = description(&data);
        let name = &self.blueprint.template.name;
        let ec2 = self.account.aws.ec2().settling(SETTLES);
        if step == Step::CreateTemplate {
            let made = ec2.create_launch_template(name, &description, &data, &self.blueprint.tags);
            return made.await.map(drop);
        }
        ec2.update_launch_template(name, &description, &data).await.map(drop)
    }

    async fn caa(&self, step: Step) -> Result<(), Error> {
        let route53 = self.account.aws.route53();
        let change = match (step, &self.blueprint.caa, &self.found.caa) {
            (Step::WriteCaa, Some(values), _) => {
                Change::Upsert(RecordSet::new(self.blueprint.name.as_str(), "CAA", CAA_TTL, values.clone()))
            }
            (Step::RemoveCaa, _, Some(set)) => Change::Delete(set.clone()),
            _ => return Ok(()),
        };
        route53.change(&self.blueprint.zone_id, &[change]).await.map(drop)
    }
}

/// Makes irp's security group in a network, closed as yet, and gives its id.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn create_group(account: &Account, vpc_id: &str, tags: &Tags) -> Result<String, Error> {
    let text = "irp: HTTPS from everywhere";
    account.aws.ec2().create_security_group(vpc_id, tags::GROUP_NAME, text, tags).await
}

/// Lets everybody in at the one port that visitors come to.
///
/// # Errors
///
/// When AWS refuses or is not reached.
pub(crate) async fn open_port(account: &Account, group_id: &str) -> Result<(), Error> {
    let patient = account.aws.ec2().settling(SETTLES);
    // One family after the other: a rule that is there makes AWS refuse the whole call.
    let both = Ingress::tcp_from_everywhere(PORT);
    let v4 = Ingress { ipv6: Vec::new(), ..both.clone() };
    let v6 = Ingress { ipv4: Vec::new(), ..both };
    patient.authorize_ingress(group_id, &v4).await?;
    patient.authorize_ingress(group_id, &v6).await
}
