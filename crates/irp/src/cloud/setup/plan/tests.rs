use irp_aws::route53::RecordSet;
use irp_launch::{
    policy::{Edge, Place},
    setup::{Bucket, Group, Role, Template},
};

use super::*;
use crate::cloud::setup::look::{FoundRole, FoundTemplate};

fn blueprint() -> Blueprint {
    let place = Place {
        partition: "aws".into(),
        region: "eu-central-1".into(),
        account: "123456789012".into(),
        zone_id: "Z1".into(),
        bucket: None,
    };
    let edge = Edge {
        host: "alice".parse().unwrap(),
        name: "alice.example.com".parse().unwrap(),
        has_role: true,
        is_caddy: false,
        store: "ssm".parse().unwrap(),
        kms_key: None,
    };
    Blueprint {
        role: Role::of(&edge, &place, None).unwrap(),
        group: Group { vpc_id: "vpc-1".into(), tags: tags::of_group() },
        template: Template {
            name: "reverse-proxy".into(),
            image: "ami-1".into(),
            root_device: "/dev/xvda".into(),
            instance_type: "t4g.nano".into(),
            is_burstable: true,
            subnet_id: None,
            kms_key: None,
            machine_tags: Default::default(),
        },
        bucket: Bucket { name: "irp-1".into(), kms_key: None },
        caa: Blueprint::caa_of(&edge, true),
        tags: Default::default(),
        name: edge.name,
        zone_id: "Z1".into(),
    }
}

/// Everything as it is after a setup.
fn complete(blueprint: &Blueprint) -> Found {
    let role = blueprint.role.as_ref().unwrap();
    Found {
        role: Some(FoundRole {
            is_for: Some(blueprint.name.to_string()),
            boundary: None,
            policy: Some(role.policy.json()),
            policies: vec![POLICY_NAME.into()],
        }),
        profile: Some(vec![role.name.clone()]),
        group: Some(SecurityGroup {
            id: "sg-1".into(),
            name: tags::GROUP_NAME.into(),
            vpc_id: Some("vpc-1".into()),
            ingress: vec![Ingress::tcp_from_everywhere(443)],
            tags: Default::default(),
        }),
        bucket: Some(BucketSettings {
            is_private: true,
            encryption: Some("AES256".into()),
            kms_key: None,
            expiry: vec![("edge/".into(), 30)],
        }),
        template: Some(FoundTemplate {
            is_for: Some(blueprint.name.to_string()),
            description: Some(description(&launch_data(blueprint, "sg-1"))),
        }),
        caa: Some(RecordSet::new(blueprint.name.as_str(), "CAA", 300, blueprint.caa.clone().unwrap())),
    }
}

fn steps(blueprint: &Blueprint, found: &Found) -> Vec<Step> {
    plan(blueprint, found).unwrap().items.into_iter().flat_map(|item| item.steps).collect()
}

#[test]
fn in_an_empty_account_everything_is_made_in_order() {
    let steps = steps(&blueprint(), &Found::default());
    assert_eq!(
        steps,
        [
            Step::CreateRole,
            Step::PutPolicy,
            Step::CreateProfile,
            Step::JoinProfile,
            Step::CreateGroup,
            Step::OpenPort,
            Step::CreateBucket,
            Step::ConfigureBucket,
            Step::CreateTemplate,
            Step::WriteCaa,
        ]
    );
}

#[test]
fn what_is_there_is_left_alone() {
    let blueprint = blueprint();
    let plan = plan(&blueprint, &complete(&blueprint)).unwrap();
    assert!(plan.is_empty() && plan.warnings.is_empty(), "{plan:?}");
}

#[test]
fn each_difference_is_one_step() {
    let blueprint = blueprint();
    let with = |change: &dyn Fn(&mut Found)| {
        let mut found = complete(&blueprint);
        change(&mut found);
        steps(&blueprint, &found)
    };
    let role = |found: &mut Found, change: &dyn Fn(&mut FoundRole)| change(found.role.as_mut().unwrap());
    assert_eq!(with(&|found| role(found, &|role| role.policy = None)), [Step::PutPolicy]);
    assert_eq!(with(&|found| found.profile = Some(Vec::new())), [Step::JoinProfile]);
    assert_eq!(with(&|found| found.group.as_mut().unwrap().ingress[0].ipv6.clear()), [Step::OpenPort]);
    assert_eq!(with(&|found| found.bucket.as_mut().unwrap().is_private = false), [Step::ConfigureBucket]);
    assert_eq!(with(&|found| found.bucket.as_mut().unwrap().expiry.clear()), [Step::ConfigureBucket]);
    assert_eq!(with(&|found| found.template.as_mut().unwrap().description = None), [Step::UpdateTemplate]);
    assert_eq!(with(&|found| found.caa = None), [Step::WriteCaa]);

    let found = complete(&blueprint);
    let mut bound = blueprint.clone();
    bound.role.as_mut().unwrap().boundary = Some("arn:aws:iam::1:policy/b".into());
    assert_eq!(steps(&bound, &found), [Step::SetBoundary]);
    let mut larger = blueprint.clone();
    larger.template.instance_type = "t4g.micro".into();
    assert_eq!(steps(&larger, &found), [Step::UpdateTemplate]);
    let caddy = Blueprint { caa: None, ..blueprint.clone() };
    assert_eq!(steps(&caddy, &found), [Step::RemoveCaa]);
    let keyed = Blueprint {
        bucket: Bucket { kms_key: Some("alias/irp".into()), ..blueprint.bucket.clone() },
        ..blueprint
    };
    assert_eq!(steps(&keyed, &found), [Step::ConfigureBucket]);
}

#[test]
fn what_is_somebody_elses_stops_it() {
    let blueprint = blueprint();
    let mut found = complete(&blueprint);
    found.role.as_mut().unwrap().is_for = Some("alice.example.org".into());
    let failure = plan(&blueprint, &found).unwrap_err();
    assert!(failure.message().contains("irp-edge-alice") && failure.message().contains("alice.example.org"));
    let mut found = complete(&blueprint);
    found.template.as_mut().unwrap().is_for = None;
    let failure = plan(&blueprint, &found).unwrap_err();
    assert!(failure.message().contains("not made by irp"), "{failure:?}");
    assert!(failure.hints()[0].contains("--launch-template reverse-proxy-alice"), "{failure:?}");
}

#[test]
fn what_opens_more_than_it_should_is_told() {
    let blueprint = blueprint();
    let mut found = complete(&blueprint);
    found.group.as_mut().unwrap().ingress.push(Ingress::tcp_from_everywhere(22));
    found.role.as_mut().unwrap().policies.push("more".into());
    found.caa.as_mut().unwrap().values = vec!["0 issue \"example.net\"".into()];
    let plan = plan(&blueprint, &found).unwrap();
    assert!(plan.is_empty());
    let told = plan.warnings.join("\n");
    for word in ["port 22", "another policy, more", "example.net"] {
        assert!(told.contains(word), "{word}: {told}");
    }
}
