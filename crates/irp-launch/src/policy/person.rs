//! What people need: everyday (`up`, `down`, `connect`, …), and once (`setup`).

use super::{
    Edge, Place, Policy, RoleNameError, Statement,
    edge::{folder_in_bucket, objects},
    key_by,
};
use crate::{tags, values::CertStore};

/// What whoever launches and uses this edge needs. Without a role there is nothing to hand over to a machine, and nothing
/// of IAM to look at.
///
/// # Errors
///
/// When the role can have no name.
pub fn person(edge: &Edge, place: &Place) -> Result<Policy, RoleNameError> {
    let role = edge.role_name()?;
    let name = edge.name.as_str();
    let (tagged, wanted) =
        (format!("aws:ResourceTag/{}", tags::NAME), format!("aws:RequestTag/{}", tags::NAME));
    let ec2 = |resource: &str| place.arn("ec2", resource);
    let image = format!("arn:{}:ec2:{}::image/*", place.partition, place.region);
    let public = format!("arn:{}:ssm:{}::parameter/aws/service/*", place.partition, place.region);
    let document = format!("arn:{}:ssm:{}::document/AWS-StartSSHSession", place.partition, place.region);
    let sessions = format!("arn:{}:ssm:*:*:session/${{aws:userid}}-*", place.partition);
    let names = [name.to_owned(), format!("_acme-challenge.{name}")];
    let mut statements = vec![
        Statement::allow("Look", LOOK, ["*"]),
        Statement::allow("Images", ["ssm:GetParameter", "ssm:GetParameters"], [public]),
        // Only machines that carry the name; what they are made of need not.
        Statement::allow("Launch", ["ec2:RunInstances"], [ec2("instance/*")]).when(
            "StringEquals",
            &wanted,
            [name],
        ),
        Statement::allow(
            "LaunchWith",
            ["ec2:RunInstances"],
            [
                "volume/*",
                "network-interface/*",
                "subnet/*",
                "security-group/*",
                "launch-template/*",
                "spot-instances-request/*",
            ]
            .map(ec2)
            .into_iter()
            .chain([image]),
        ),
        Statement::allow("Tag", ["ec2:CreateTags"], [ec2("*/*")]).when(
            "StringEquals",
            "ec2:CreateAction",
            ["RunInstances", "CreateSecurityGroup", "CreateLaunchTemplate"],
        ),
        Statement::allow("End", ["ec2:TerminateInstances", "ec2:AssociateAddress"], [ec2("instance/*")])
            .when("StringEquals", &tagged, [name]),
        // irp gc sets right what a machine does when it powers off. With this action alone one could give it other user-data,
        // or another group (EC2 User Guide, "ec2:Attribute condition key").
        Statement::allow("EndWhenOff", ["ec2:ModifyInstanceAttribute"], [ec2("instance/*")])
            .when("StringEquals", &tagged, [name])
            .when("StringEquals", "ec2:Attribute/InstanceInitiatedShutdownBehavior", ["terminate"]),
        // For irp gc: AWS refuses to delete one that is in use.
        Statement::allow("Group", ["ec2:DeleteSecurityGroup"], [ec2("security-group/*")]).when(
            "StringEquals",
            &format!("aws:ResourceTag/{}", tags::GROUP),
            [tags::GROUP_NAME],
        ),
        Statement::allow(
            "ElasticAddress",
            ["ec2:AssociateAddress"],
            [ec2("elastic-ip/*"), ec2("network-interface/*")],
        ),
        Statement::allow(
            "ReadZone",
            ["route53:GetHostedZone", "route53:ListResourceRecordSets"],
            [place.zone()],
        ),
        Statement::allow("Records", ["route53:ChangeResourceRecordSets"], [place.zone()])
            .only_changes(names.iter().map(String::as_str), ["A", "AAAA", "TXT", "CAA"]),
        Statement::allow("ReadChange", ["route53:GetChange"], [place.changes()]),
        Statement::allow("PushKey", ["ec2-instance-connect:SendSSHPublicKey"], [ec2("instance/*")]).when(
            "StringEquals",
            &tagged,
            [name],
        ),
        Statement::allow("Session", ["ssm:StartSession"], [ec2("instance/*")]).when(
            "StringEquals",
            &tagged,
            [name],
        ),
        Statement::allow("SessionDocument", ["ssm:StartSession"], [document]),
        Statement::allow(
            "OwnSessions",
            ["ssm:ResumeSession", "ssm:TerminateSession", "ssmmessages:OpenDataChannel"],
            [sessions],
        ),
        Statement::allow(
            "Secrets",
            ["ssm:PutParameter", "ssm:DeleteParameters", "ssm:GetParametersByPath"],
            place
                .folder(&format!("/irp/secret/{}", edge.host))
                .into_iter()
                .chain(place.folder(&format!("/irp/cert/{name}")))
                .chain(place.folder(&tags::inbox_keys(&edge.name))),
        ),
    ];
    if let Some(role) = &role {
        statements.extend(of_role(place, role));
    }
    if let Some(bucket) = &place.bucket {
        let arn = place.bucket(bucket);
        statements.push(Statement::allow(
            "Program",
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            [format!("{arn}/{}*", tags::PROGRAMS)],
        ));
        // To forget a name.
        let inbox = format!("{arn}/{}*", tags::inbox_folder(&edge.name));
        statements.push(Statement::allow("Inbox", ["s3:DeleteObject"], [inbox]));
        statements.push(Statement::allow("FindProgram", ["s3:ListBucket"], [arn]));
    }
    if let CertStore::S3 { bucket, prefix } = &edge.store {
        // To look at the budget of certificates, and to forget a name.
        let folder = format!("{}/", folder_in_bucket(&edge.name, edge.is_caddy, prefix));
        statements.extend(objects(
            ["Certificates", "ListCertificates"],
            &["s3:GetObject", "s3:DeleteObject"],
            &place.bucket(bucket),
            &folder,
        ));
    }
    if let Some(key) = &edge.kms_key {
        // The volume of the machine, the secrets, the program in the bucket.
        let actions = [
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey",
            "kms:GenerateDataKeyWithoutPlaintext",
        ];
        statements.push(key_by("Key", &actions, place, key, &["ec2", "s3", "ssm"]));
    }
    Ok(Policy::new(statements))
}

/// Giving the role to a machine, and looking at it.
fn of_role(place: &Place, name: &str) -> [Statement; 3] {
    let look = ["iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies", "iam:SimulatePrincipalPolicy"];
    [
        Statement::allow("PassRole", ["iam:PassRole"], [place.role(name)]).when(
            "StringEquals",
            "iam:PassedToService",
            ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"],
        ),
        Statement::allow("ReadRole", look, [place.role(name)]),
        Statement::allow("ReadProfile", ["iam:GetInstanceProfile"], [place.instance_profile(name)]),
    ]
}

/// Calls that only look, and that IAM cannot bind to a resource.
const LOOK: [&str; 17] = [
    "ec2:DescribeAddresses",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:GetConsoleOutput",
    "route53:ListHostedZonesByName",
    "servicequotas:GetServiceQuota",
    "ssm:DescribeInstanceInformation",
    "sts:DecodeAuthorizationMessage",
    "sts:GetCallerIdentity",
];

/// What `irp setup` and `irp setup --delete` need beyond [`person`].
///
/// # Errors
///
/// When the role can have no name.
pub fn administrator(edge: &Edge, place: &Place) -> Result<Policy, RoleNameError> {
    let role = [
        "iam:CreateRole",
        "iam:DeleteRole",
        "iam:DeleteRolePolicy",
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListRolePolicies",
        "iam:PassRole",
        "iam:PutRolePermissionsBoundary",
        "iam:PutRolePolicy",
        "iam:TagRole",
    ];
    let profile = [
        "iam:AddRoleToInstanceProfile",
        "iam:CreateInstanceProfile",
        "iam:DeleteInstanceProfile",
        "iam:GetInstanceProfile",
        "iam:RemoveRoleFromInstanceProfile",
        "iam:TagInstanceProfile",
    ];
    let groups_and_templates = [
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:CreateLaunchTemplate",
        "ec2:CreateLaunchTemplateVersion",
        "ec2:CreateSecurityGroup",
        "ec2:DeleteLaunchTemplate",
        "ec2:DeleteSecurityGroup",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:ModifyLaunchTemplate",
    ];
    let mut statements = Vec::new();
    if let Some(name) = edge.role_name()? {
        statements.push(Statement::allow("Role", role, [place.role(&name)]));
        statements.push(Statement::allow("Profile", profile, [place.instance_profile(&name)]));
    }
    statements.push(Statement::allow("GroupAndTemplate", groups_and_templates, ["*"]));
    statements.push(Statement::allow("Zone", ["route53:CreateHostedZone"], ["*"]));
    if let Some(bucket) = &place.bucket {
        let actions = [
            "s3:CreateBucket",
            "s3:DeleteBucket",
            "s3:DeleteObject",
            "s3:GetBucketPublicAccessBlock",
            "s3:GetEncryptionConfiguration",
            "s3:GetLifecycleConfiguration",
            "s3:ListBucket",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutEncryptionConfiguration",
            "s3:PutLifecycleConfiguration",
        ];
        let arn = place.bucket(bucket);
        statements.push(Statement::allow("Bucket", actions, [arn.clone(), format!("{arn}/*")]));
    }
    Ok(Policy::new(statements))
}
