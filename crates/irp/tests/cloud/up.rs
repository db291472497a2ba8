//! `irp up` as far as its machine: the plan, the order, finding it again, and what goes wrong. What an edge does on it, and
//! the tunnel to it, is told by the tests of `live`.

use std::{fs, path::PathBuf, process::Command};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use irp_testkit::{detour::Detour, running::Running, scripted::Reply, session_manager::SessionManagerPlugin};
use serde_json::{Value, json};

use crate::stage::{Stage, err};

const ENV: &str = "HOSTED_ZONE_DOMAIN=proxy.example.com\n";
const NAME: &str = "alice.proxy.example.com";

/// An account that `irp setup` has prepared, and a program for machines of this processor.
pub(crate) struct Account {
    pub(crate) stage: Stage,
    program: PathBuf,
}

impl Account {
    pub(crate) fn prepared() -> Self {
        let account = Self::bare();
        account.stage.run(&["setup"]);
        account
    }

    fn bare() -> Self {
        let stage = Stage::new();
        stage.write(".env", ENV);
        stage.zone("proxy.example.com");
        let program = stage.home().join("irp-arm64");
        fs::write(&program, elf(183, "\0GLIBC_2.34\0")).unwrap();
        Self { stage, program }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["up", "3000", "--edge-binary", self.program.to_str().unwrap()], more].concat()
    }

    fn up(&self, more: &[&str]) -> Running {
        self.up_at(&self.stage.moto().url(), more)
    }

    /// The same with AWS at another URL.
    fn up_at(&self, url: &str, more: &[&str]) -> Running {
        let command = self.command_at(url, &[&["--json"], more].concat());
        Running::start(command, self.stage.home().join("up.log"))
    }

    pub(crate) fn command_at(&self, url: &str, more: &[&str]) -> Command {
        self.stage.irp_at(url, &self.arguments(more))
    }

    /// What a failure says.
    #[track_caller]
    fn fails(&self, code: i32, more: &[&str]) -> String {
        self.stage.fails(code, &self.arguments(more))
    }

    /// All machines, as the AWS CLI shows them.
    #[track_caller]
    fn machines(&self) -> Vec<Value> {
        let all = self.stage.aws(&["ec2", "describe-instances"]);
        let all = all["Reservations"].as_array().unwrap().iter();
        all.flat_map(|it| it["Instances"].as_array().unwrap().clone()).collect()
    }

    /// The text of an attribute of a machine.
    #[track_caller]
    fn attribute(&self, id: &str, name: &str) -> Value {
        self.stage.aws(&["ec2", "describe-instance-attribute", "--instance-id", id, "--attribute", name])
    }
}

/// The beginning of a program for a processor (ELF's `e_machine`).
pub(crate) fn elf(machine: u8, strings: &str) -> Vec<u8> {
    let mut file = vec![0_u8; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[18] = machine;
    file.extend_from_slice(strings.as_bytes());
    file
}

#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[test]
fn a_trial_shows_the_steps_and_takes_none() {
    let account = Account::prepared();
    let events = account.stage.events(&account.arguments(&["--dry-run", "--spot"]));
    let steps: Vec<_> =
        events.iter().filter(|it| it["event"] == "step").map(|it| text(&it["text"]).to_owned()).collect();
    assert!(
        steps[0].starts_with("upload the program, 1 MiB, to s3://irp-123456789012-eu-central-1/edge/"),
        "{steps:?}"
    );
    assert!(steps[1].starts_with("launch a t4g.nano (spot) from ami-"), "{steps:?}");
    assert!(steps[1].contains("eu-central-1a") && steps[1].ends_with("role irp-edge-alice"), "{steps:?}");
    assert_eq!(
        steps[2..],
        [format!("wait until its edge answers and {NAME} leads to it"), "connect".to_owned()]
    );
    assert!(account.machines().is_empty());
    let objects =
        account.stage.aws(&["s3api", "list-objects-v2", "--bucket", "irp-123456789012-eu-central-1"]);
    assert!(objects["Contents"].is_null(), "{objects}");
}

#[test]
fn one_machine_is_launched_with_everything_and_the_next_up_uses_it() {
    let account = Account::prepared();
    let mut up = account.up(&["--tag", "team=web bots"]);
    let told = up.event("machine");
    assert_eq!((&told["launched"], &told["type"]), (&json!(true), &json!("t4g.nano")));
    let id = text(&told["id"]).to_owned();
    let [machine] = &account.machines()[..] else { panic!("not one machine") };
    assert_eq!(machine["InstanceId"], *id);
    assert_eq!(machine["PublicIpAddress"], told["address"]);
    assert_eq!(machine["MetadataOptions"]["HttpTokens"], "required", "{machine}");
    assert_eq!(machine["MetadataOptions"]["HttpPutResponseHopLimit"], 1);
    assert_eq!(machine["MetadataOptions"]["InstanceMetadataTags"], "enabled");
    assert!(machine.to_string().contains("instance-profile/irp-edge-alice"), "{machine}");
    let tags: Vec<_> =
        machine["Tags"].as_array().unwrap().iter().map(|it| (&it["Key"], &it["Value"])).collect();
    for (key, value) in
        [("irp:name", NAME), ("irp:engine", "irp"), ("team", "web bots"), ("irp:idle-hours", "1")]
    {
        assert!(tags.contains(&(&json!(key), &json!(value))), "{key}: {tags:?}");
    }
    let behaviour = account.attribute(&id, "instanceInitiatedShutdownBehavior");
    assert_eq!(behaviour["InstanceInitiatedShutdownBehavior"]["Value"], "terminate");
    assert!(machine.to_string().contains("\"GroupName\":\"irp-edge\""), "{machine}");
    let attached = format!("Name=attachment.instance-id,Values={id}");
    let volumes = account.stage.aws(&["ec2", "describe-volumes", "--filters", &attached]);
    assert_eq!(volumes["Volumes"][0]["Encrypted"], true, "{volumes}");
    assert_eq!(volumes["Volumes"][0]["VolumeType"], "gp3", "{volumes}");

    // Its user-data: our key, and a URL of the program under its hash, good for a while.
    let data = account.attribute(&id, "userData");
    let data = decoded(text(&data["UserData"]["Value"]));
    let key = fs::read_to_string(account.stage.home().join(".config/irp/id_ed25519.pub")).unwrap();
    assert!(data.contains(key.split_whitespace().nth(1).unwrap()), "{data}");
    let objects =
        account.stage.aws(&["s3api", "list-objects-v2", "--bucket", "irp-123456789012-eu-central-1"]);
    let object = text(&objects["Contents"][0]["Key"]).to_owned();
    let hash = object.strip_prefix("edge/").unwrap();
    assert!(data.contains(&format!("EDGE_SHA256='{hash}'")), "{data}");
    assert!(data.contains(&format!("/{object}?")) && data.contains("X-Amz-Signature="), "{data}");

    // Killed as by a power cut, between the order and the record of the name.
    up.kill();
    let mut again = account.up(&[]);
    let told = again.event("machine");
    assert_eq!((&told["id"], &told["launched"]), (&json!(id), &json!(false)));
    assert_eq!(account.machines().len(), 1);
    again.interrupt();
    assert_eq!(again.end().code(), Some(130));
    let steps = account.stage.events(&account.arguments(&["--dry-run"]));
    assert!(steps.iter().any(|it| it["text"] == format!("use {id}, which runs")), "{steps:?}");
}

#[track_caller]
fn decoded(base64: &str) -> String {
    String::from_utf8(BASE64_STANDARD.decode(base64).unwrap()).unwrap()
}

#[test]
fn a_signing_secret_goes_into_the_account_and_its_reference_to_the_machine() {
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    let account = Account::prepared();
    account.stage.write(".env", &format!("{ENV}SLACK_SIGNING_SECRET={SECRET}\n"));
    let mut up = account.up(&[]);
    let id = text(&up.event("machine")["id"]).to_owned();
    up.kill();
    let kept = account.stage.aws(&[
        "ssm",
        "get-parameter",
        "--with-decryption",
        "--name",
        "/irp/secret/alice/slack",
    ]);
    assert_eq!(
        (&kept["Parameter"]["Type"], &kept["Parameter"]["Value"]),
        (&json!("SecureString"), &json!(SECRET))
    );
    let data = decoded(text(&account.attribute(&id, "userData")["UserData"]["Value"]));
    assert!(data.contains("ssm:/irp/secret/alice/slack") && !data.contains(SECRET), "{data}");

    // Unless it is to be in memory only.
    account.stage.aws(&["ec2", "terminate-instances", "--instance-ids", &id]);
    account.stage.aws(&["ssm", "delete-parameters", "--names", "/irp/secret/alice/slack"]);
    let mut up = account.up(&["--memory-only"]);
    let id = text(&up.event("machine")["id"]).to_owned();
    up.kill();
    let kept = account.stage.aws(&["ssm", "get-parameters", "--names", "/irp/secret/alice/slack"]);
    assert_eq!(kept["Parameters"], json!([]));
    let data = decoded(text(&account.attribute(&id, "userData")["UserData"]["Value"]));
    assert!(!data.contains("/irp/secret/") && !data.contains(SECRET), "{data}");
}

#[test]
fn what_cannot_work_is_told_before_anything_is_made() {
    let account = Account::bare();
    let text = account.fails(4, &[]);
    assert!(text.contains("the instance profile irp-edge-alice does not exist"), "{text}");
    assert!(text.contains("irp setup --host-name alice"), "{text}");
    account.stage.run(&["setup"]);
    let text = account.fails(4, &["--instance-type", "t3.nano"]);
    assert!(text.contains("the program for the machine is for arm64, and t3.nano is x86_64"), "{text}");
    assert!(text.contains("--instance-type t4g.nano fits the program"), "{text}");
    fs::write(&account.program, elf(183, "\0GLIBC_2.39\0")).unwrap();
    let text = account.fails(4, &[]);
    assert!(text.contains("needs glibc 2.39, and al2023 has 2.34"), "{text}");
    fs::write(&account.program, "#!/bin/sh\n").unwrap();
    let text = account.fails(3, &[]);
    assert!(
        text.contains("cannot be the edge of a machine") && text.contains("no program for Linux"),
        "{text}"
    );
    fs::write(&account.program, elf(183, "")).unwrap();
    let text = account.fails(4, &["--subnet", "subnet-00000000"]);
    assert!(text.contains("subnet-00000000"), "{text}");
    let text = account.fails(4, &["--eip", "eipalloc-00000000"]);
    assert!(text.contains("no Elastic IP address eipalloc-00000000"), "{text}");
    let vpc = account.stage.aws(&["ec2", "describe-vpcs", "--filters", "Name=is-default,Values=true"]);
    let vpc = vpc["Vpcs"][0]["VpcId"].as_str().unwrap().to_owned();
    let subnets =
        account.stage.aws(&["ec2", "describe-subnets", "--filters", &format!("Name=vpc-id,Values={vpc}")]);
    for subnet in subnets["Subnets"].as_array().unwrap() {
        account.stage.aws(&["ec2", "delete-subnet", "--subnet-id", subnet["SubnetId"].as_str().unwrap()]);
    }
    let text = account.fails(4, &[]);
    assert!(text.contains("has no subnet with a free address"), "{text}");
    assert!(account.machines().is_empty());
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
         <RequestID>59dbff89</RequestID></Response>"
    );
    Reply::new(status, body).with("content-type", "text/xml")
}

/// Runs `work` in a thread, since it waits for programs, while the detour lives on.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_without_a_free_machine_is_passed_over() {
    let account = blocking(Account::prepared).await;
    let detour = Detour::start(account.stage.moto().address()).await.unwrap();
    let full = || refusal(500, "InsufficientInstanceCapacity", "no sufficient t4g.nano capacity");
    detour.instead("Action=RunInstances", full());
    let url = detour.url();
    let account = blocking(move || {
        let mut up = account.up_at(&url, &[]);
        let warning = up.event("warning")["message"].as_str().unwrap().to_owned();
        assert!(warning.contains("no free machine of this type in eu-central-1a"), "{warning}");
        let told = up.event("machine");
        assert_eq!(told["zone"], "eu-central-1b");
        up.kill();
        let id = told["id"].as_str().unwrap();
        account.stage.aws(&["ec2", "terminate-instances", "--instance-ids", id]);
        account
    })
    .await;
    let orders = detour.asked("Action=RunInstances");
    assert_eq!(orders.len(), 2);
    assert_ne!(token(&orders[0]), token(&orders[1]), "another place is another order");

    let (account, subnet) = blocking(move || {
        let subnets = account.stage.aws(&["ec2", "describe-subnets"]);
        let subnet = text(&subnets["Subnets"][0]["SubnetId"]).to_owned();
        (account, subnet)
    })
    .await;
    // None anywhere; then what else AWS may say, each with what to do.
    for _ in 0..3 {
        detour.instead("Action=RunInstances", full());
    }
    let denied = "You are not authorized to perform this operation. because no identity-based policy allows the \
                  ec2:RunInstances action";
    let no_role = "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/alice is not \
                   authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/irp-edge-alice";
    let organisation = "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: ec2:RunInstances on \
                        resource: x with an explicit deny in a service control policy";
    let told = [
        ("", "", "AWS has no free machine of this type"),
        (
            "VcpuLimitExceeded",
            "You have requested more vCPU capacity",
            "aws service-quotas request-service-quota-increase",
        ),
        ("UnauthorizedOperation", denied, "the permission ec2:RunInstances is missing"),
        ("UnauthorizedOperation", no_role, "the permission iam:PassRole is missing"),
        ("UnauthorizedOperation", organisation, "your organisation forbids ec2:RunInstances"),
        (
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            "no",
            "create-service-linked-role --aws-service-name spot",
        ),
        ("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded", "--quota-code L-34B43A08"),
        ("InsufficientFreeAddressesInSubnet", "none", "that subnet has no free address"),
        ("RequestExpired", "Request has expired.", "the AWS session has expired"),
        (
            "Unsupported",
            "not supported in your requested Availability Zone",
            "that type is not offered there",
        ),
    ];
    let settings = ["--subnet", &subnet];
    for (code, message, expected) in told {
        if !code.is_empty() {
            detour.straight("Action=RunInstances");
            let status = if code == "UnauthorizedOperation" { 403 } else { 400 };
            detour.always("Action=RunInstances", refusal(status, code, message));
        }
        // In one place only, where a place was named.
        let more = if code.is_empty() { &[][..] } else { &settings[..] };
        let mut command = account.command_at(&detour.url(), more);
        let output = blocking(move || command.output().unwrap()).await;
        assert_eq!(output.status.code(), Some(4), "{}", err(&output));
        assert!(err(&output).contains(expected), "{expected}: {}", err(&output));
    }
}

/// The token of an order.
#[track_caller]
fn token(order: &str) -> &str {
    let (_, behind) = order.split_once("ClientToken=").unwrap();
    behind.split('&').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_made_already_is_found() {
    let account = blocking(Account::prepared).await;
    let detour = Detour::start(account.stage.moto().address()).await.unwrap();
    let url = detour.url();
    // The order of an irp up that was killed a moment ago: lists do not show it by its tags yet.
    let mut first = account.up_at(&url, &[]);
    let (account, told) = blocking(move || {
        let told = first.event("machine");
        first.kill();
        (account, told)
    })
    .await;
    let orders = detour.asked("Action=RunInstances");
    let nothing =
        "<DescribeInstancesResponse><requestId>r</requestId><reservationSet/></DescribeInstancesResponse>";
    detour.instead("Action=DescribeInstances", Reply::xml(nothing));
    detour.instead("Action=RunInstances", refusal(400, "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."));
    let url = detour.url();
    let again = blocking(move || {
        let mut again = account.up_at(&url, &[]);
        let again_told = again.event("machine");
        again.kill();
        assert_eq!(account.machines().len(), 1);
        again_told
    })
    .await;
    assert_eq!(again["id"], told["id"]);
    let all = detour.asked("Action=RunInstances");
    assert_eq!(token(&orders[0]), token(&all[1]), "the same launch has the same token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_would_only_stop_is_ended_at_once() {
    let account = blocking(Account::prepared).await;
    let detour = Detour::start(account.stage.moto().address()).await.unwrap();
    detour.words("instanceInitiatedShutdownBehavior", "<value>terminate</value>", "<value>stop</value>");
    let mut command = account.command_at(&detour.url(), &[]);
    let output = blocking(move || command.output().unwrap()).await;
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    assert!(err(&output).contains("would only stop when it powers off"), "{}", err(&output));
    let states = blocking(move || account.machines()).await;
    assert_eq!(states[0]["State"]["Name"], "terminated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_aws_takes_away_is_replaced_and_one_that_somebody_ends_is_not() {
    let account = blocking(Account::prepared).await;
    let detour = Detour::start(account.stage.moto().address()).await.unwrap();
    let url = detour.url();
    blocking(move || {
        let end = |told: &Value| {
            account.stage.aws(&["ec2", "terminate-instances", "--instance-ids", text(&told["id"])]);
        };
        let mut up = account.up_at(&url, &[]);
        end(&up.event("machine"));
        let why = up.event("error");
        assert!(text(&why["message"]).contains("somebody has ended i-"), "{why}");
        assert_eq!(up.end().code(), Some(5));

        let (user, spot) = ("Client.UserInitiatedShutdown", "Server.SpotInstanceTermination");
        detour.words("Action=DescribeInstances", user, spot);
        let mut up = account.up_at(&url, &["--no-relaunch"]);
        end(&up.event("machine"));
        let why = up.event("error");
        assert!(text(&why["message"]).contains("AWS has taken i-"), "{why}");
        assert_eq!(up.end().code(), Some(4));

        let mut up = account.up_at(&url, &[]);
        for left in (0..3).rev() {
            end(&up.event("machine"));
            assert_eq!(up.event("relaunch")["left"], left);
        }
        end(&up.event("machine"));
        assert!(text(&up.event("error")["message"]).contains("AWS has taken i-"));
        assert_eq!(up.end().code(), Some(4));
        assert_eq!(account.machines().len(), 6);
    })
    .await;
}

#[test]
fn an_elastic_address_is_attached_and_never_taken_away() {
    let account = Account::prepared();
    let allocated = account.stage.aws(&["ec2", "allocate-address", "--domain", "vpc"]);
    let (allocation, address) = (text(&allocated["AllocationId"]), text(&allocated["PublicIp"]));
    let mut up = account.up(&["--eip", allocation]);
    let told = up.event("machine");
    assert_eq!(told["address"], address);
    up.kill();
    // Again: it is attached already.
    let mut again = account.up(&["--eip", allocation]);
    assert_eq!(again.event("machine")["address"], address);
    again.kill();
    let text = account.fails(4, &["--eip", allocation, "--host-name", "bob"]);
    assert!(text.contains("is attached to i-") || text.contains("irp-edge-bob"), "{text}");
    account.stage.run(&["setup", "--host-name", "bob", "--launch-template", "bob"]);
    let text = account.fails(4, &["--eip", allocation, "--host-name", "bob"]);
    assert!(text.contains(&format!("{address} is attached to i-")), "{text}");
    assert_eq!(account.machines().len(), 1, "bob has none");
}

/// What companies ask for: a network and a place of theirs, their key, their tags, less money.
#[tokio::test(flavor = "multi_thread")]
async fn network_place_key_and_tags_are_those_that_were_named() {
    let account = blocking(Account::prepared).await;
    let detour = Detour::start(account.stage.moto().address()).await.unwrap();
    let url = detour.url();
    let account = blocking(move || {
        let made = account.stage.aws(&["ec2", "create-vpc", "--cidr-block", "10.9.0.0/16"]);
        let vpc = text(&made["Vpc"]["VpcId"]).to_owned();
        let subnet = |zone: &str, block: &str| {
            let place = ["--availability-zone", zone, "--cidr-block", block];
            let make = ["ec2", "create-subnet", "--vpc-id", &vpc];
            let made = account.stage.aws(&[&make[..], &place].concat());
            text(&made["Subnet"]["SubnetId"]).to_owned()
        };
        let (first, second) =
            (subnet("eu-central-1a", "10.9.1.0/24"), subnet("eu-central-1b", "10.9.2.0/24"));
        let end = |id: &str| {
            account.stage.aws(&["ec2", "terminate-instances", "--instance-ids", id]);
        };
        let launched = |more: &[&str]| {
            let mut up = account.up_at(&url, more);
            let id = text(&up.event("machine")["id"]).to_owned();
            up.kill();
            let machines = account.machines();
            let machine = machines.iter().find(|machine| machine["InstanceId"] == *id).unwrap().clone();
            end(&id);
            machine
        };
        // irp's group is not in that network yet: `irp setup` was for the default one.
        let key = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let more = ["--vpc", &vpc, "--spot", "--kms-key", key, "--tag", "team=web", "--tag", "cost=1"];
        let machine = launched(&more);
        assert_eq!((&machine["VpcId"], &machine["SubnetId"]), (&json!(vpc), &json!(first)));
        let of_vpc = format!("Name=vpc-id,Values={vpc}");
        let groups =
            ["ec2", "describe-security-groups", "--filters", &of_vpc, "Name=group-name,Values=irp-edge"];
        let groups = account.stage.aws(&groups);
        let [group] = &groups["SecurityGroups"].as_array().unwrap()[..] else { panic!("{groups}") };
        assert!(machine.to_string().contains(text(&group["GroupId"])), "{machine}");
        assert!(group["Tags"].to_string().contains("\"team\""), "{group}");
        let ports = group["IpPermissions"].as_array().unwrap();
        assert!(!ports.is_empty() && ports.iter().all(|rule| rule["FromPort"] == 443), "{group}");
        assert_eq!(launched(&["--subnet", &second])["SubnetId"], *second);
        assert_eq!(launched(&["--subnet", &second, "--vpc", &vpc])["SubnetId"], *second);

        let default =
            account.stage.aws(&["ec2", "describe-vpcs", "--filters", "Name=is-default,Values=true"]);
        let default = text(&default["Vpcs"][0]["VpcId"]).to_owned();
        let said = account.fails(3, &["--subnet", &second, "--vpc", &default]);
        assert!(said.contains(&format!("the subnet {second} is in {vpc}, not in {default}")), "{said}");
        let said = account.fails(4, &["--vpc", "vpc-00000000"]);
        assert!(said.contains("no network vpc-00000000"), "{said}");

        // A region without a default network: one has to be named, or made.
        let subnets = account.stage.aws(&[
            "ec2",
            "describe-subnets",
            "--filters",
            &format!("Name=vpc-id,Values={default}"),
        ]);
        for subnet in subnets["Subnets"].as_array().unwrap() {
            account.stage.aws(&["ec2", "delete-subnet", "--subnet-id", text(&subnet["SubnetId"])]);
        }
        let of_vpc = format!("Name=vpc-id,Values={default}");
        let groups = account.stage.aws(&["ec2", "describe-security-groups", "--filters", &of_vpc]);
        for group in groups["SecurityGroups"].as_array().unwrap() {
            if group["GroupName"] != "default" {
                account.stage.aws(&["ec2", "delete-security-group", "--group-id", text(&group["GroupId"])]);
            }
        }
        account.stage.aws(&["ec2", "delete-vpc", "--vpc-id", &default]);
        let said = account.fails(4, &[]);
        assert!(said.contains("there is no default VPC in eu-central-1"), "{said}");
        assert!(said.contains("--subnet subnet-") && said.contains("aws ec2 create-default-vpc"), "{said}");
        account
    })
    .await;
    drop(account);
    let order = &detour.asked("Action=RunInstances")[0];
    for part in [
        "InstanceMarketOptions.MarketType=spot",
        "SpotOptions.InstanceInterruptionBehavior=terminate",
        "BlockDeviceMapping.1.Ebs.Encrypted=true",
        "Ebs.KmsKeyId=arn%3Aaws%3Akms%3Aeu-central-1%3A123456789012%3Akey%2F1234abcd",
        "NetworkInterface.1.AssociatePublicIpAddress=true",
        "ResourceType=volume",
        "ResourceType=network-interface",
        "ResourceType=spot-instances-request",
    ] {
        assert!(order.contains(part), "{part}: {order}");
    }
    // The company's tags are on all four.
    for tag in ["Key=team", "Key=cost"] {
        assert_eq!(order.matches(tag).count(), 4, "{order}");
    }
}

#[test]
fn a_launch_template_says_what_is_not_said_here() {
    let account = Account::prepared();
    // moto wants to be told how large a disk is, which AWS knows from the image.
    let data = json!({
        "ImageId": "ami-12c6146b", "InstanceType": "t4g.small", "InstanceInitiatedShutdownBehavior": "stop",
        "BlockDeviceMappings": [{ "DeviceName": "/dev/xvda", "Ebs": { "VolumeSize": 9 } }],
    });
    let data = data.to_string();
    let make =
        ["ec2", "create-launch-template", "--launch-template-name", "corp", "--launch-template-data", &data];
    account.stage.aws(&make);
    let mut up = account.up(&["--launch-template", "corp"]);
    let id = text(&up.event("machine")["id"]).to_owned();
    up.kill();
    let [machine] = &account.machines()[..] else { panic!("not one machine") };
    assert_eq!((&machine["InstanceId"], &machine["InstanceType"]), (&json!(id), &json!("t4g.small")));
    let behaviour = account.attribute(&id, "instanceInitiatedShutdownBehavior");
    assert_eq!(behaviour["InstanceInitiatedShutdownBehavior"]["Value"], "terminate");
    let text = account.fails(4, &["--host-name", "bob", "--launch-template", "none-such"]);
    assert!(text.contains("none-such"), "{text}");
}

#[test]
fn a_machine_with_caddy_is_launched_and_ssh_is_the_way_to_it() {
    let account = Account::prepared();
    let hash = "a".repeat(64);
    let url = "https://example.com/caddy_linux_arm64.tar.gz";
    let arguments = ["--json", "up", "3000", "--caddy-dl-url", url, "--caddy-sha256", &hash];
    // Without AWS's program nothing would lead to it, and it would cost until that is found out.
    let mut without = account.stage.irp(&arguments);
    without.env("PATH", account.stage.home());
    let output = without.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("there is no session-manager-plugin on this PC"), "{told}");
    assert_eq!((output.status.code(), account.machines().len()), (Some(5), 0));

    let plugin = SessionManagerPlugin::install(&account.stage.home().join("aws")).unwrap();
    let mut command = account.stage.irp(&arguments);
    command.env("PATH", format!("{}:/usr/bin:/bin", plugin.folder().display()));
    let mut up = Running::start(command, account.stage.home().join("up.log"));
    let machine = up.event("machine");
    let tags = account.machines()[0]["Tags"].to_string();
    assert!(tags.contains("irp:engine") && tags.contains("caddy"), "{tags}");
    // What the machine's own script does.
    let zones = account.stage.aws(&["route53", "list-hosted-zones"]);
    let zone = text(&zones["HostedZones"][0]["Id"]);
    let batch = json!({ "Changes": [{ "Action": "UPSERT", "ResourceRecordSet": {
        "Name": NAME, "Type": "A", "TTL": 60, "ResourceRecords": [{ "Value": machine["address"] }] } }] });
    let batch = batch.to_string();
    let change =
        ["route53", "change-resource-record-sets", "--hosted-zone-id", zone, "--change-batch", &batch];
    account.stage.aws(&change);
    let way = up.event("connecting")["address"].clone();
    assert!(text(&way).starts_with("ssh to ec2-user@i-") && text(&way).contains("Session Manager"), "{way}");
    up.kill();
}
