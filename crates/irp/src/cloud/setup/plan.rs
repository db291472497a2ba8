//! The difference between what is wanted and what is there, as steps: pure.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use irp_aws::{
    ec2::{Ingress, LaunchData, NetworkInterface, SecurityGroup, Volume},
    s3::BucketSettings,
};
use irp_launch::{
    policy::POLICY_NAME,
    setup::{Blueprint, CAA, PORT, PROGRAM_DAYS},
    tags,
};

use super::look::Found;
use crate::error::{Failure, Kind};

/// One thing that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// What it is, in a word.
    pub(crate) label: &'static str,
    /// Which one.
    pub(crate) name: String,
    /// What is to be done; nothing where it is as it should be.
    pub(crate) steps: Vec<Step>,
}

/// One call, or a few that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the role.
    CreateRole,
    /// Give a role that exists its boundary.
    SetBoundary,
    /// Write the policy of the role.
    PutPolicy,
    /// Make the instance profile.
    CreateProfile,
    /// Put the role into it.
    JoinProfile,
    /// Make the security group.
    CreateGroup,
    /// Open it for HTTPS.
    OpenPort,
    /// Make the bucket.
    CreateBucket,
    /// Set access, encryption and lifecycle of the bucket.
    ConfigureBucket,
    /// Make the launch template.
    CreateTemplate,
    /// Write a new version of it, and make that the default.
    UpdateTemplate,
    /// Write the CAA records.
    WriteCaa,
    /// Remove CAA records of an earlier setup, by which this edge would get no certificate.
    RemoveCaa,
}

/// What is to be done, in the order in which it can be done, and what the person should know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) items: Vec<Item>,
    pub(crate) warnings: Vec<String>,
}

/// Compares.
///
/// # Errors
///
/// When something of a wanted name belongs to another public name, or to somebody who is not irp.
pub(crate) fn plan(blueprint: &Blueprint, found: &Found) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    if let Some(role) = &blueprint.role {
        plan.role(blueprint, found, &role.name)?;
    }
    plan.group(blueprint, found.group.as_ref());
    plan.bucket(blueprint, found.bucket.as_ref());
    plan.template(blueprint, found)?;
    plan.caa(blueprint, found);
    Ok(plan)
}

impl Plan {
    /// Whether everything is as it should be.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.iter().all(|item| item.steps.is_empty())
    }

    fn add(&mut self, label: &'static str, name: impl Into<String>, steps: Vec<Step>) {
        self.items.push(Item { label, name: name.into(), steps });
    }

    fn role(&mut self, blueprint: &Blueprint, found: &Found, name: &str) -> Result<(), Failure> {
        let Some(role) = &blueprint.role else { return Ok(()) };
        let mut steps = Vec::new();
        let mut policy = Vec::new();
        match &found.role {
            None => {
                steps.push(Step::CreateRole);
                policy.push(Step::PutPolicy);
            }
            Some(there) => {
                if there.is_for.as_deref() != Some(blueprint.name.as_str()) {
                    return Err(
                        taken("role", name, there.is_for.as_deref()).hint("choose another --host-name")
                    );
                }
                if role.boundary.is_some() && role.boundary != there.boundary {
                    steps.push(Step::SetBoundary);
                }
                if there.policy.as_ref() != Some(&role.policy.json()) {
                    policy.push(Step::PutPolicy);
                }
                for other in there.policies.iter().filter(|policy| *policy != POLICY_NAME) {
                    self.warnings.push(format!(
                        "the role {name} has another policy, {other}: the machine may do more than it needs"
                    ));
                }
            }
        }
        self.add("role", name, steps);
        self.add("policy", format!("{POLICY_NAME} of {name}"), policy);
        let profile = match &found.profile {
            None => vec![Step::CreateProfile, Step::JoinProfile],
            Some(roles) if roles.is_empty() => vec![Step::JoinProfile],
            Some(roles) if roles.iter().any(|role| role == name) => Vec::new(),
            Some(roles) => return Err(taken("instance profile", name, roles.first().map(String::as_str))),
        };
        self.add("profile", name, profile);
        Ok(())
    }

    fn group(&mut self, blueprint: &Blueprint, found: Option<&SecurityGroup>) {
        let vpc_id = &blueprint.group.vpc_id;
        let Some(group) = found else {
            let steps = vec![Step::CreateGroup, Step::OpenPort];
            return self.add("group", format!("{} in {vpc_id}", tags::GROUP_NAME), steps);
        };
        let name = format!("{} {} in {vpc_id}", tags::GROUP_NAME, group.id);
        for rule in group.ingress.iter().filter(|rule| !is_only_port(rule)) {
            let ports = rule.ports.map_or("all ports".to_owned(), |(first, last)| {
                if first == last { format!("port {first}") } else { format!("ports {first} to {last}") }
            });
            self.warnings.push(format!(
                "the security group {} also opens {ports} ({}): irp needs {PORT} only",
                group.id, rule.protocol
            ));
        }
        self.add("group", name, if is_open(group) { Vec::new() } else { vec![Step::OpenPort] });
    }

    fn bucket(&mut self, blueprint: &Blueprint, found: Option<&BucketSettings>) {
        let steps = match found {
            None => vec![Step::CreateBucket, Step::ConfigureBucket],
            Some(settings) if is_configured(blueprint, settings) => Vec::new(),
            Some(_) => vec![Step::ConfigureBucket],
        };
        self.add("bucket", &blueprint.bucket.name, steps);
    }

    fn template(&mut self, blueprint: &Blueprint, found: &Found) -> Result<(), Failure> {
        let name = &blueprint.template.name;
        let steps = match &found.template {
            None => vec![Step::CreateTemplate],
            Some(there) => {
                if there.is_for.as_deref() != Some(blueprint.name.as_str()) {
                    let host = blueprint.name.as_str().split('.').next().unwrap_or_default();
                    return Err(taken("launch template", name, there.is_for.as_deref())
                        .hint(format!("give yours another name: --launch-template {name}-{host}")));
                }
                let wanted =
                    found.group.as_ref().map(|group| description(&launch_data(blueprint, &group.id)));
                if wanted.is_some() && wanted == there.description {
                    Vec::new()
                } else {
                    vec![Step::UpdateTemplate]
                }
            }
        };
        self.add("template", name, steps);
        Ok(())
    }

    fn caa(&mut self, blueprint: &Blueprint, found: &Found) {
        let there = found.caa.as_ref().filter(|set| !set.values.is_empty());
        let name = blueprint.name.to_string();
        match (&blueprint.caa, there) {
            (Some(_), None) => self.add("caa", name, vec![Step::WriteCaa]),
            (Some(wanted), Some(set)) if is_same(&set.values, wanted) => self.add("caa", name, Vec::new()),
            (None, Some(set)) if is_same(&set.values, &CAA) => self.add("caa", name, vec![Step::RemoveCaa]),
            (None, None) => {}
            // Somebody decided that: a company's own rule must not be overwritten.
            (_, Some(set)) => self.warnings.push(format!(
                "{name} has CAA records of somebody else ({}): they stay; `irp doctor` tells whether they allow a \
                 certificate",
                set.values.join(", ")
            )),
        }
    }
}

fn taken(what: &str, name: &str, by: Option<&str>) -> Failure {
    let by = by.map_or("was not made by irp".to_owned(), |by| format!("is that of {by}"));
    Failure::new(Kind::Cloud, format!("there is a {what} {name}, and it {by}"))
}

fn is_same(one: &[String], other: &[impl AsRef<str>]) -> bool {
    let sorted = |values: Vec<String>| {
        let mut values: Vec<String> =
            values.iter().map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        values.sort();
        values
    };
    sorted(one.to_vec()) == sorted(other.iter().map(|value| value.as_ref().to_owned()).collect())
}

fn is_open(group: &SecurityGroup) -> bool {
    let v6 = group.ingress.iter().any(|rule| {
        let is_in = rule.ports.is_none_or(|(first, last)| (first..=last).contains(&PORT));
        is_in
            && matches!(rule.protocol.as_str(), "tcp" | "6" | "-1")
            && rule.ipv6.iter().any(|net| net == "::/0")
    });
    v6 && group.ingress.iter().any(|rule| rule.opens(PORT))
}

fn is_only_port(rule: &Ingress) -> bool {
    rule.ports == Some((PORT, PORT)) && matches!(rule.protocol.as_str(), "tcp" | "6")
}

fn is_configured(blueprint: &Blueprint, settings: &BucketSettings) -> bool {
    let encryption = match &blueprint.bucket.kms_key {
        Some(key) => {
            settings.encryption.as_deref() == Some("aws:kms") && settings.kms_key.as_ref() == Some(key)
        }
        None => settings.encryption.is_some(),
    };
    let expires =
        settings.expiry.iter().any(|(prefix, days)| prefix == tags::PROGRAMS && *days <= PROGRAM_DAYS);
    settings.is_private && encryption && expires
}

/// What machines of the template are.
pub(crate) fn launch_data(blueprint: &Blueprint, group_id: &str) -> LaunchData {
    let template = &blueprint.template;
    LaunchData {
        image_id: Some(template.image.clone()),
        instance_type: Some(template.instance_type.clone()),
        user_data: None,
        instance_profile: blueprint.role.as_ref().map(|role| role.name.clone()),
        network: Some(NetworkInterface {
            subnet_id: template.subnet_id.clone(),
            security_groups: vec![group_id.to_owned()],
            public_address: Some(true),
            ipv6_addresses: None,
        }),
        root_volume: Some(Volume {
            device: template.root_device.clone(),
            size: None,
            encrypted: true,
            kms_key: template.kms_key.clone(),
        }),
        terminate_on_shutdown: true,
        strict_metadata: true,
        standard_credits: template.is_burstable,
        spot: false,
        tags: template.machine_tags.clone(),
    }
}

/// What a version of the template says of itself: a hash of all that is in it, so that a later setup sees whether it
/// wants another.
pub(crate) fn description(data: &LaunchData) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{data:?}").as_bytes());
    let mut text = "irp setup ".to_owned();
    for byte in &hash.as_ref()[..8] {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
