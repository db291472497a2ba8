//! The blueprint as a template of CloudFormation, which takes JSON as well as YAML.

use serde_json::{Map, Value, json};

use super::{Blueprint, PORT, PROGRAM_DAYS, Tags};
use crate::tags;

/// The template. Its names are fixed, so that it needs `CAPABILITY_NAMED_IAM`.
#[must_use]
pub fn cloudformation(blueprint: &Blueprint) -> Value {
    let mut resources = Map::new();
    if let Some(role) = &blueprint.role {
        let mut properties = json!({
            "RoleName": role.name,
            "Description": blueprint.description(),
            "AssumeRolePolicyDocument": role.trust.json(),
            "Policies": [{ "PolicyName": Blueprint::policy_name(), "PolicyDocument": role.policy.json() }],
            "Tags": list(&blueprint.tags),
        });
        if let Some(boundary) = &role.boundary {
            properties["PermissionsBoundary"] = json!(boundary);
        }
        resources.insert("Role".into(), resource("AWS::IAM::Role", properties));
        let profile = json!({ "InstanceProfileName": role.name, "Roles": [{ "Ref": "Role" }] });
        resources.insert("Profile".into(), resource("AWS::IAM::InstanceProfile", profile));
    }
    resources.insert("Group".into(), resource("AWS::EC2::SecurityGroup", group(blueprint)));
    resources.insert("Template".into(), resource("AWS::EC2::LaunchTemplate", template(blueprint)));
    let mut bucket = resource("AWS::S3::Bucket", bucket(blueprint));
    // A stack that is deleted must not take certificates of other names with it, nor fail because of them.
    bucket["DeletionPolicy"] = json!("Retain");
    bucket["UpdateReplacePolicy"] = json!("Retain");
    resources.insert("Bucket".into(), bucket);
    if let Some(values) = &blueprint.caa {
        let properties = json!({
            "HostedZoneId": blueprint.zone_id,
            "Name": format!("{}.", blueprint.name),
            "Type": "CAA",
            "TTL": super::CAA_TTL.to_string(),
            "ResourceRecords": values,
        });
        resources.insert("Caa".into(), resource("AWS::Route53::RecordSet", properties));
    }
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": blueprint.description(),
        "Resources": resources,
    })
}

fn resource(kind: &str, properties: Value) -> Value {
    json!({ "Type": kind, "Properties": properties })
}

fn list(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

fn group(blueprint: &Blueprint) -> Value {
    let rule = |network: &str, everybody: &str| json!({ "IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, network: everybody });
    json!({
        "GroupName": tags::GROUP_NAME,
        "GroupDescription": "irp: HTTPS from everywhere",
        "VpcId": blueprint.group.vpc_id,
        "SecurityGroupIngress": [rule("CidrIp", "0.0.0.0/0"), rule("CidrIpv6", "::/0")],
        "Tags": list(&blueprint.group.tags),
    })
}

fn template(blueprint: &Blueprint) -> Value {
    let template = &blueprint.template;
    let mut interface = json!({
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": true,
        "DeleteOnTermination": true,
        "Groups": [{ "Fn::GetAtt": ["Group", "GroupId"] }],
    });
    if let Some(subnet) = &template.subnet_id {
        interface["SubnetId"] = json!(subnet);
    }
    let mut volume = json!({ "VolumeType": "gp3", "Encrypted": true, "DeleteOnTermination": true });
    if let Some(key) = &template.kms_key {
        volume["KmsKeyId"] = json!(key);
    }
    let tagged = ["instance", "volume", "network-interface"]
        .map(|kind| json!({ "ResourceType": kind, "Tags": list(&template.machine_tags) }));
    let mut data = json!({
        "ImageId": template.image,
        "InstanceType": template.instance_type,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
            "InstanceMetadataTags": "enabled",
        },
        "BlockDeviceMappings": [{ "DeviceName": template.root_device, "Ebs": volume }],
        "NetworkInterfaces": [interface],
        "TagSpecifications": tagged,
    });
    if template.is_burstable {
        data["CreditSpecification"] = json!({ "CpuCredits": "standard" });
    }
    if blueprint.role.is_some() {
        data["IamInstanceProfile"] = json!({ "Arn": { "Fn::GetAtt": ["Profile", "Arn"] } });
    }
    json!({
        "LaunchTemplateName": template.name,
        "LaunchTemplateData": data,
        "TagSpecifications": [{ "ResourceType": "launch-template", "Tags": list(&blueprint.tags) }],
    })
}

fn bucket(blueprint: &Blueprint) -> Value {
    let encryption = match &blueprint.bucket.kms_key {
        Some(key) => json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key }),
        None => json!({ "SSEAlgorithm": "AES256" }),
    };
    json!({
        "BucketName": blueprint.bucket.name,
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{ "ServerSideEncryptionByDefault": encryption }],
        },
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": true,
            "IgnorePublicAcls": true,
            "BlockPublicPolicy": true,
            "RestrictPublicBuckets": true,
        },
        "LifecycleConfiguration": {
            "Rules": [{
                "Id": "irp",
                "Status": "Enabled",
                "Prefix": tags::PROGRAMS,
                "ExpirationInDays": PROGRAM_DAYS,
            }],
        },
    })
}
