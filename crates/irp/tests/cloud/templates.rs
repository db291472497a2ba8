//! What `irp setup --print` prints for others to make, as the programs read it that make it.

use std::{fs, process::Command};

use irp_testkit::python;
use serde_json::{Value, json};

use crate::stage::{Stage, err};

/// Ways to set up, each with another form of the templates.
const WAYS: [&[&str]; 4] = [
    &["--tag", "team=web bots", "--permissions-boundary", "arn:aws:iam::123456789012:policy/boundary"],
    &["--kms-key", "alias/irp", "--cert-store", "s3://certificates/irp", "--instance-type", "m7g.medium"],
    &["--no-role"],
    &["--caddy-dl-url", "https://example.com/caddy_2.10.0_linux_arm64.tar.gz"],
];

const LINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cloud/cloudformation.py");
const READ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cloud/terraform.py");

fn stage() -> Stage {
    let stage = Stage::new();
    stage.write(".env", "HOSTED_ZONE_DOMAIN=proxy.example.com\n");
    stage.zone("proxy.example.com");
    stage
}

#[track_caller]
fn printed(stage: &Stage, what: &str, way: &[&str]) -> Value {
    serde_json::from_str(&stage.run(&[&["setup", "--print", what], way].concat())).unwrap()
}

/// Runs a program to its end, which must be a success, and gives stdout.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out}{}", err(&output));
    out
}

/// The properties of the only resource of a type; null where there is none.
fn resource(template: &Value, kind: &str) -> Value {
    let mut all = template["Resources"].as_object().unwrap().values();
    all.find(|resource| resource["Type"] == kind).map_or(Value::Null, |it| it["Properties"].clone())
}

/// Tags as Terraform has them.
fn tags(list: &Value) -> Value {
    let pairs = list.as_array().into_iter().flatten();
    pairs
        .map(|tag| (tag["Key"].as_str().unwrap().to_owned(), tag["Value"].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn document(text: &Value) -> Value {
    text.as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

#[test]
fn terraform_reads_the_same_out_of_its_template_as_is_in_the_others() {
    let stage = stage();
    for (number, way) in WAYS.into_iter().enumerate() {
        let folder = stage.home().join(format!("terraform-{number}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("irp.tf.json"), printed(&stage, "terraform", way).to_string()).unwrap();
        let read = said(python::script(READ.as_ref()).unwrap().arg(&folder));
        let read: Value = serde_json::from_str(&read).unwrap();
        let one = |kind: &str| {
            let all = read[kind].as_array().cloned().unwrap_or_default();
            assert!(all.len() <= 1, "{kind}: {all:?}");
            all.into_iter().next().unwrap_or_default()
        };
        let policy = printed(&stage, "policy", way);
        let other = printed(&stage, "cloudformation", way);
        let has_role = !way.contains(&"--no-role");
        assert_eq!(policy["role"].is_object(), has_role, "{way:?}");

        // Who the machine is, and what it may do.
        let (role, own) = (one("aws_iam_role"), resource(&other, "AWS::IAM::Role"));
        assert_eq!(document(&role["assume_role_policy"]), policy["trust"]);
        assert_eq!(document(&one("aws_iam_role_policy")["policy"]), policy["role"], "{way:?}");
        assert_eq!(own["AssumeRolePolicyDocument"], policy["trust"]);
        assert_eq!(own["Policies"][0]["PolicyDocument"], policy["role"]);
        for (theirs, ours) in [
            ("name", "RoleName"),
            ("description", "Description"),
            ("permissions_boundary", "PermissionsBoundary"),
        ] {
            assert_eq!(role[theirs], own[ours], "{theirs}");
        }
        for kind in ["aws_iam_role_policy", "aws_iam_instance_profile"] {
            assert_eq!(one(kind)["role"], own["RoleName"], "{kind}");
        }
        if has_role {
            assert_eq!(role["tags"], tags(&own["Tags"]));
        }

        // The machine.
        let template = one("aws_launch_template");
        let ours = resource(&other, "AWS::EC2::LaunchTemplate");
        let data = &ours["LaunchTemplateData"];
        assert_eq!(template["name"], ours["LaunchTemplateName"]);
        assert_eq!(template["tags"], tags(&ours["TagSpecifications"][0]["Tags"]));
        assert_eq!(template["iam_instance_profile"]["name"], own["RoleName"]);
        for (theirs, ours) in [
            ("image_id", "ImageId"),
            ("instance_type", "InstanceType"),
            ("instance_initiated_shutdown_behavior", "InstanceInitiatedShutdownBehavior"),
        ] {
            assert!(data[ours].is_string());
            assert_eq!(template[theirs], data[ours], "{theirs}");
        }
        let inside = |pairs: &[(&str, &str)], theirs: &Value, ours: &Value| {
            for (their, our) in pairs {
                assert_eq!(theirs[*their], ours[*our], "{their}: {way:?}");
            }
        };
        inside(
            &[
                ("http_tokens", "HttpTokens"),
                ("http_put_response_hop_limit", "HttpPutResponseHopLimit"),
                ("http_endpoint", "HttpEndpoint"),
                ("instance_metadata_tags", "InstanceMetadataTags"),
            ],
            &template["metadata_options"],
            &data["MetadataOptions"],
        );
        inside(
            &[("cpu_credits", "CpuCredits")],
            &template["credit_specification"],
            &data["CreditSpecification"],
        );
        let volumes = (&template["block_device_mappings"][0], &data["BlockDeviceMappings"][0]);
        inside(&[("device_name", "DeviceName")], volumes.0, volumes.1);
        inside(
            &[
                ("volume_type", "VolumeType"),
                ("encrypted", "Encrypted"),
                ("delete_on_termination", "DeleteOnTermination"),
                ("kms_key_id", "KmsKeyId"),
            ],
            &volumes.0["ebs"],
            &volumes.1["Ebs"],
        );
        let group = one("aws_security_group");
        assert_eq!(template["network_interfaces"][0]["security_groups"], json!([group["id"]]));
        let (theirs, ours) = (&template["tag_specifications"], &data["TagSpecifications"]);
        let (theirs, ours) = (theirs.as_array().unwrap(), ours.as_array().unwrap());
        assert_eq!(theirs.len(), ours.len());
        for (their, our) in theirs.iter().zip(ours) {
            assert_eq!(
                (&their["resource_type"], their["tags"].clone()),
                (&our["ResourceType"], tags(&our["Tags"]))
            );
        }

        // Who may come in, what is kept, who may certify.
        let ours = resource(&other, "AWS::EC2::SecurityGroup");
        inside(
            &[("name", "GroupName"), ("description", "GroupDescription"), ("vpc_id", "VpcId")],
            &group,
            &ours,
        );
        let [rule] = &group["ingress"].as_array().unwrap()[..] else { panic!("{group}") };
        inside(
            &[("from_port", "FromPort"), ("to_port", "ToPort"), ("protocol", "IpProtocol")],
            rule,
            &ours["SecurityGroupIngress"][0],
        );
        let bucket = one("aws_s3_bucket");
        let ours = resource(&other, "AWS::S3::Bucket");
        assert_eq!(bucket["bucket"], ours["BucketName"]);
        for kind in ["public_access_block", "server_side_encryption_configuration", "lifecycle_configuration"]
        {
            assert_eq!(one(&format!("aws_s3_bucket_{kind}"))["bucket"], bucket["bucket"], "{kind}");
        }
        let encryption = one("aws_s3_bucket_server_side_encryption_configuration");
        inside(
            &[("sse_algorithm", "SSEAlgorithm"), ("kms_master_key_id", "KMSMasterKeyID")],
            &encryption["rule"]["apply_server_side_encryption_by_default"],
            &ours["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]["ServerSideEncryptionByDefault"],
        );
        let caa = one("aws_route53_record");
        let ours = resource(&other, "AWS::Route53::RecordSet");
        inside(&[("zone_id", "HostedZoneId"), ("type", "Type"), ("records", "ResourceRecords")], &caa, &ours);
    }
}

#[test]
fn cloudformation_finds_nothing_wrong_with_its_template() {
    let stage = stage();
    for (number, way) in WAYS.into_iter().enumerate() {
        let name = format!("cloudformation-{number}.json");
        let file = stage.write(&name, &printed(&stage, "cloudformation", way).to_string());
        said(python::script(LINT.as_ref()).unwrap().args(["--regions", "eu-central-1", "--"]).arg(file));
    }
}
