//! What `irp setup --print policy` gives people is what the commands need: each call that they make is judged by it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Output,
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use irp_testkit::{
    detour::Detour, iam::Judge, running::Running, scripted::Reply, session_manager::SessionManagerPlugin,
};
use serde_json::{Value, json};

use crate::{
    machines::{launch_with, point},
    permissions::{Tags, calls},
    stage::{Stage, err},
    up::elf,
};

const NAME: &str = "alice.proxy.example.com";
const BUCKET: &str = "irp-123456789012-eu-central-1";
const TEMPLATE: &str = r#"{"ImageId":"ami-12c6146b","InstanceType":"t4g.small","BlockDeviceMappings":[{"DeviceName":"/dev/xvda","Ebs":{"VolumeSize":9}}]}"#;

/// An account, and a person whose calls are written down.
struct World {
    stage: Stage,
    detour: Arc<Detour>,
    zone: String,
    judge: Judge,
    /// The tags of all that has been seen.
    tags: Tags,
    /// The actions so far.
    actions: BTreeSet<String>,
}

impl World {
    /// Somebody who has these documents of `irp setup --print policy`.
    fn new(stage: Stage, detour: Arc<Detour>, env: &str, documents: &[&str]) -> Self {
        stage.write(".env", env);
        let zone = stage.zone("proxy.example.com");
        fs::write(stage.home().join("irp-arm64"), elf(183, "")).unwrap();
        let printed: Value = serde_json::from_str(
            &stage.run(&["setup", "--print", "policy"]).replace("${aws:userid}", "alice"),
        )
        .unwrap();
        let judges = documents.iter().map(|document| Judge::of(&printed[document]));
        let judge = judges.reduce(Judge::and).unwrap();
        Self { stage, detour, zone, judge, tags: Tags::new(), actions: BTreeSet::new() }
    }

    /// Judges what was asked since the last time.
    #[track_caller]
    fn judge(&mut self) {
        self.see_tags();
        let mut denied = BTreeMap::new();
        for asked in self.detour.take_requests() {
            for call in calls(&asked, &self.tags) {
                self.actions.insert(call.action().to_owned());
                if !self.judge.allows(&call) {
                    denied.insert(call.action().to_owned(), call);
                }
            }
        }
        assert!(denied.is_empty(), "not allowed: {denied:#?}");
    }

    fn see_tags(&mut self) {
        let all = self.stage.aws(&["ec2", "describe-tags"]);
        let mut seen = Tags::new();
        for tag in all["Tags"].as_array().unwrap() {
            let text = |key: &str| tag[key].as_str().unwrap().to_owned();
            seen.entry(text("ResourceId")).or_default().push((text("Key"), text("Value")));
        }
        self.tags.extend(seen);
    }

    /// Runs `irp ARGS…` to its end, whatever that is.
    #[track_caller]
    fn run(&mut self, arguments: &[&str]) -> Output {
        self.see_tags();
        let mut command = self.stage.irp_at(&self.detour.url(), arguments);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.stage.home().join("aws").display()));
        command.env("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5");
        let output = command.output().unwrap();
        self.judge();
        output
    }

    #[track_caller]
    fn succeeds(&mut self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "irp {}: {}", arguments.join(" "), err(&output));
    }

    /// Starts `irp --json ARGS…`, and ends it after this event.
    #[track_caller]
    fn until(&mut self, event: &str, arguments: &[&str]) -> Value {
        let mut command = self.stage.irp_at(&self.detour.url(), &[&["--json"], arguments].concat());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.stage.home().join("aws").display()));
        command.env("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5");
        let mut running = Running::start(command, self.stage.home().join("irp.log"));
        let told = running.event(event);
        running.interrupt();
        running.end();
        self.judge();
        told
    }

    #[track_caller]
    fn has_done(&self, actions: &[&str]) {
        let missing: Vec<_> = actions.iter().filter(|action| !self.actions.contains(**action)).collect();
        assert!(missing.is_empty(), "nobody has tried {missing:?}");
    }
}

/// Runs `test` in a thread where it may wait for programs, with a detour in front of an account.
async fn judged(test: impl FnOnce(Stage, Arc<Detour>) + Send + 'static) {
    let stage = tokio::task::spawn_blocking(Stage::new).await.unwrap();
    let detour = Arc::new(Detour::start(stage.moto().address()).await.unwrap());
    tokio::task::spawn_blocking(move || test(stage, detour)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everyday_commands_need_nothing_but_what_people_are_given() {
    judged(|stage, detour| {
        let env = "HOSTED_ZONE_DOMAIN=proxy.example.com\n";
        let mut world = World::new(stage, detour, env, &["user"]);
        SessionManagerPlugin::install(&world.stage.home().join("aws")).unwrap();
        world.stage.run(&["setup"]);
        let quota = json!({ "Quota": { "QuotaName": "Running On-Demand Standard instances", "Value": 5.0 } });
        world.detour.always("GetServiceQuota", Reply::json(200, quota.to_string()));
        world.run(&["doctor", "--resolver", "127.0.0.1:1"]);

        // Machines of every kind.
        let up = ["up", "3000", "--edge-binary", "irp-arm64"];
        let with = |more: &[&'static str]| [&up[..], more].concat();
        world.succeeds(&with(&["--dry-run"]));
        let address = world.stage.aws(&["ec2", "allocate-address", "--domain", "vpc"]);
        let address = address["AllocationId"].as_str().unwrap().to_owned();
        let eip = [&up[..], &["--spot", "--eip", &address]].concat();
        let id = world.until("machine", &eip)["id"].as_str().unwrap().to_owned();
        world.succeeds(&["ls"]);
        world.succeeds(&["status", "alice"]);
        world.run(&["logs", "alice", "--console"]);

        // Ways to it. What moto does not know, it would be.
        let session = json!({ "SessionId": "alice-0123456789abcdef0", "TokenValue": "token",
            "StreamUrl": "ws://127.0.0.1:1/v1/data-channel/alice" });
        world.detour.always("AmazonSSM.StartSession", Reply::json(200, session.to_string()));
        let ended = json!({ "SessionId": "alice-0123456789abcdef0" });
        world.detour.always("AmazonSSM.TerminateSession", Reply::json(200, ended.to_string()));
        let agents = json!({ "InstanceInformationList": [] });
        world.detour.always("AmazonSSM.DescribeInstanceInformation", Reply::json(200, agents.to_string()));
        let taken = json!({ "RequestId": "r-1", "Success": true });
        world.detour.always("SendSSHPublicKey", Reply::json(200, taken.to_string()));
        world.until("failed", &["connect", "alice", "3000", "--via", "ssm"]);
        let refused = json!({ "__type": "TargetNotConnected", "message": format!("{id} is not connected.") });
        world.detour.straight("AmazonSSM.StartSession");
        world.detour.always("AmazonSSM.StartSession", Reply::json(400, refused.to_string()));
        // Only where it is not young a machine is asked after.
        world.detour.words("Action=DescribeInstances", "<launchTime>20", "<launchTime>19");
        world.until("error", &["connect", "alice", "3000", "--via", "ssm"]);
        world.detour.straight("Action=DescribeInstances");
        let host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8cU9WHIxFEGvIhVyFDuYtEKKyNi4BGRWXDZZ2kTmIe root@ip";
        let console =
            format!("-----BEGIN SSH HOST KEY KEYS-----\r\n{host_key}\r\n-----END SSH HOST KEY KEYS-----\r\n");
        let console = format!(
            "<GetConsoleOutputResponse><instanceId>{id}</instanceId><output>{}</output></GetConsoleOutputResponse>",
            BASE64_STANDARD.encode(console)
        );
        world.detour.always("Action=GetConsoleOutput", Reply::xml(console));
        world.detour.straight("AmazonSSM.StartSession");
        world.detour.always("AmazonSSM.StartSession", Reply::json(200, session.to_string()));
        world.run(&["ssh", "alice", "--via", "eic", "--", "true"]);

        world.succeeds(&["secret", "put", "slack"]);
        world.succeeds(&["down", "alice", "--yes", "--no-edge"]);
        world.succeeds(&["forget", "alice"]);
        let make = ["ec2", "create-launch-template", "--launch-template-name", "corp"];
        world.stage.aws(&[&make[..], &["--launch-template-data", TEMPLATE]].concat());
        world.until("machine", &with(&["--launch-template", "corp"]));
        world.succeeds(&["down", "--no-edge"]);

        // All that can be left behind.
        let stops = launch_with(&world.stage, &world.zone, NAME, "stop");
        point(&world.stage, &world.zone, NAME, "198.51.100.4");
        let challenge = json!({ "Changes": [{ "Action": "UPSERT", "ResourceRecordSet": {
            "Name": format!("_acme-challenge.{NAME}"), "Type": "TXT", "TTL": 60,
            "ResourceRecords": [{ "Value": "\"left\"" }] } }] });
        let change = ["change-resource-record-sets", "--hosted-zone-id", &world.zone];
        let challenge = challenge.to_string();
        world.stage.aws(&[&["route53"], &change[..], &["--change-batch", &challenge]].concat());
        // The programs in the bucket are as old as moto can tell.
        world.detour.words(&format!("/{BUCKET} "), "<LastModified>20", "<LastModified>19");
        world.succeeds(&["gc", "--yes"]);
        world.stage.aws(&["ec2", "terminate-instances", "--instance-ids", &stops.id]);
        world.stage.aws(&["ec2", "delete-launch-template", "--launch-template-name", "reverse-proxy"]);
        world.succeeds(&["gc", "--yes"]);
        world.has_done(&[
            "ec2:AssociateAddress",
            "ec2:CreateTags",
            "ec2:DeleteSecurityGroup",
            "ec2:DescribeAddresses",
            "ec2:DescribeInstanceAttribute",
            "ec2:DescribeInstanceTypeOfferings",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeRouteTables",
            "ec2:GetConsoleOutput",
            "ec2:ModifyInstanceAttribute",
            "ec2:RunInstances",
            "ec2:TerminateInstances",
            "iam:GetInstanceProfile",
            "iam:GetRole",
            "iam:GetRolePolicy",
            "iam:PassRole",
            "iam:SimulatePrincipalPolicy",
            "route53:ChangeResourceRecordSets",
            "route53:GetHostedZone",
            "route53:ListHostedZonesByName",
            "route53:ListResourceRecordSets",
            "s3:DeleteObject",
            "s3:GetObject",
            "s3:ListBucket",
            "s3:PutObject",
            "servicequotas:GetServiceQuota",
            "ssm:DeleteParameters",
            "ssm:DescribeInstanceInformation",
            "ssm:GetParameter",
            "ssm:GetParametersByPath",
            "ssm:PutParameter",
            "ssm:StartSession",
            "ssm:TerminateSession",
            "sts:GetCallerIdentity",
            "ec2-instance-connect:SendSSHPublicKey",
        ]);
    })
    .await;
}

/// Nobody asks IAM for anything there.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_role_what_is_printed_is_enough_to_set_up_to_launch_and_to_end() {
    judged(|stage, detour| {
        let env = "HOSTED_ZONE_DOMAIN=proxy.example.com\nNO_ROLE=1\n";
        let mut world = World::new(stage, detour, env, &["user", "setup"]);
        world.succeeds(&["setup"]);
        world.run(&["doctor", "--resolver", "127.0.0.1:1"]);
        world.until("machine", &["up", "3000", "--edge-binary", "irp-arm64"]);
        world.succeeds(&["status", "alice"]);
        world.succeeds(&["down", "alice", "--yes", "--no-edge"]);
        world.succeeds(&["setup", "--delete"]);
        world.has_done(&["ec2:CreateLaunchTemplate", "ec2:RunInstances", "ec2:TerminateInstances"]);
        let asked: Vec<_> = world.actions.iter().filter(|action| action.starts_with("iam:")).collect();
        assert!(asked.is_empty(), "{asked:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_in_a_bucket_are_looked_at_and_forgotten_by_the_same_people() {
    judged(|stage, detour| {
        let env = "HOSTED_ZONE_DOMAIN=proxy.example.com\nCERT_STORE=s3://certificates/irp\n";
        let mut world = World::new(stage, detour, env, &["user"]);
        let place = ["--create-bucket-configuration", "LocationConstraint=eu-central-1"];
        world.stage.aws(&[&["s3api", "create-bucket", "--bucket", "certificates"], &place[..]].concat());
        world.stage.run(&["setup"]);
        world.run(&["doctor", "--resolver", "127.0.0.1:1"]);
        let key = format!("irp/{NAME}/identity/x");
        world.stage.aws(&["s3api", "put-object", "--bucket", "certificates", "--key", &key]);
        world.succeeds(&["forget", "alice", "--no-revoke"]);
        world.has_done(&["s3:DeleteObject", "s3:ListBucket"]);
        let left = world.stage.aws(&["s3api", "list-objects-v2", "--bucket", "certificates"]);
        assert!(left["Contents"].is_null(), "{left}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_needs_what_is_printed_for_it_beyond_that() {
    judged(|stage, detour| {
        let env = "HOSTED_ZONE_DOMAIN=proxy.example.com\n";
        let mut world = World::new(stage, detour, env, &["user", "setup"]);
        world.succeeds(&["setup", "--create-zone"]);
        let boundary = "arn:aws:iam::123456789012:policy/boundary";
        world.succeeds(&["setup", "--instance-type", "t4g.micro", "--permissions-boundary", boundary]);
        for what in ["policy", "cloudformation", "terraform"] {
            world.succeeds(&["setup", "--print", what]);
        }
        world.stage.aws(&["s3api", "put-object", "--bucket", BUCKET, "--key", "edge/0a1b"]);
        world.succeeds(&["setup", "--delete"]);
        world.has_done(&[
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateLaunchTemplate",
            "ec2:CreateLaunchTemplateVersion",
            "ec2:CreateSecurityGroup",
            "ec2:DeleteLaunchTemplate",
            "ec2:DeleteSecurityGroup",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:ModifyLaunchTemplate",
            "iam:AddRoleToInstanceProfile",
            "iam:CreateInstanceProfile",
            "iam:CreateRole",
            "iam:DeleteInstanceProfile",
            "iam:DeleteRole",
            "iam:DeleteRolePolicy",
            "iam:ListRolePolicies",
            "iam:PutRolePermissionsBoundary",
            "iam:PutRolePolicy",
            "iam:RemoveRoleFromInstanceProfile",
            "s3:CreateBucket",
            "s3:DeleteBucket",
            "s3:DeleteObject",
            "s3:GetBucketPublicAccessBlock",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutEncryptionConfiguration",
            "s3:PutLifecycleConfiguration",
        ]);
    })
    .await;
}
