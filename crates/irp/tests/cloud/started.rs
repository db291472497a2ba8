//! What `docs/getting-started-aws.md` and the README tell people to type, typed in an account on this machine.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use irp_testkit::{process::find, python};
use serde_json::Value;

use crate::{
    machines::{addresses, launch, point, state},
    stage::{Stage, err, out},
};

const PAGE: &str = include_str!("../../../../docs/getting-started-aws.md");

const README: &str = include_str!("../../../../README.md");

/// The blocks of shell under a heading, one after the other.
fn shell(heading: &str) -> String {
    shell_of(PAGE, heading)
}

fn shell_of(page: &str, heading: &str) -> String {
    let (_, behind) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let level = heading.split(' ').next().unwrap();
    let section = behind.split(&format!("\n{level} ")).next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.collect()
}

/// Has a shell run it where `irp`, `aws` and `jq` are, and stop at the first failure.
#[track_caller]
fn types(stage: &Stage, text: &str) -> String {
    find("jq", "jq").unwrap();
    let bin = stage.home().join("bin");
    fs::create_dir_all(&bin).unwrap();
    program(&bin.join("irp"), &format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_irp")));
    let cli = python::module("awscli").unwrap();
    program(&bin.join("aws"), &format!("exec {} -m awscli \"$@\"", cli.get_program().display()));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-euc", text]).env_clear().envs(stage.moto().environment()).current_dir(stage.home());
    shell.env("HOME", stage.home()).env("USER", "alice").env("IRP_RESOLVER", "127.0.0.1:1");
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{text}\n{}{}", out(&output), err(&output));
    out(&output)
}

fn program(path: &Path, command: &str) {
    fs::write(path, format!("#!/bin/sh\n{command}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_account_is_prepared() {
    let stage = Stage::new();
    stage.zone("proxy.example.com");
    let text = shell("## Once: prepare the account");
    // Nobody delegates a zone of this machine, which doctor says.
    assert!(text.contains("\nirp doctor\n"), "{text}");
    types(&stage, &text.replace("\nirp doctor\n", "\nirp doctor || true\n"));
    assert_eq!(to_do(&stage), Vec::<String>::new());
    types(&stage, &shell("## Take it away again"));
    assert_eq!(to_do(&stage).len(), 7);
}

#[test]
fn the_aws_cli_makes_the_same() {
    let stage = Stage::new();
    stage.zone("proxy.example.com");
    stage.write(".env", "HOSTED_ZONE_DOMAIN=proxy.example.com\n");
    types(&stage, &shell("### AWS CLI"));
    // Bucket and CAA records are left to `irp setup`, and the template does not say by what it was made.
    assert_eq!(to_do(&stage), ["bucket", "template", "caa"]);
    let template = ["ec2", "describe-launch-template-versions", "--launch-template-name", "reverse-proxy"];
    let by_hand = data(&stage.aws(&[&template[..], &["--versions", "1"]].concat()));
    stage.run(&["setup"]);
    let by_irp = data(&stage.aws(&[&template[..], &["--versions", "2"]].concat()));
    for key in [
        "ImageId",
        "InstanceType",
        "InstanceInitiatedShutdownBehavior",
        "IamInstanceProfile",
        "MetadataOptions",
        "BlockDeviceMappings",
        "NetworkInterfaces",
        "CreditSpecification",
    ] {
        assert_eq!(by_hand[key], by_irp[key], "{key}");
    }
}

fn data(versions: &Value) -> Value {
    versions["LaunchTemplateVersions"][0]["LaunchTemplateData"].clone()
}

#[test]
fn people_can_be_given_what_they_need() {
    let stage = Stage::new();
    stage.zone("proxy.example.com");
    stage.write(".env", "HOSTED_ZONE_DOMAIN=proxy.example.com\n");
    let policy = types(&stage, &shell("### What people need who launch machines"));
    let policy: Value = serde_json::from_str(&policy).unwrap();
    assert!(policy["Statement"].as_array().unwrap().len() > 10, "{policy}");
}

#[test]
fn cloudformation_makes_the_same() {
    let stage = Stage::new();
    stage.zone("proxy.example.com");
    stage.write(".env", "HOSTED_ZONE_DOMAIN=proxy.example.com\n");
    types(&stage, &shell("### CloudFormation"));
    let roles = stage.aws(&["iam", "list-roles"]);
    assert_eq!(roles["Roles"][0]["RoleName"], "irp-edge-alice");
    let templates = stage.aws(&["ec2", "describe-launch-templates"]);
    assert_eq!(templates["LaunchTemplates"][0]["LaunchTemplateName"], "reverse-proxy");
}

/// The commands of the README, one by one as they stand there. Nothing boots here, as it does in `tests/boot`, so a launch
/// is only shown, and the machine is one that the AWS CLI has made.
#[test]
fn the_readme_prepares_an_account_and_looks_after_its_machines() {
    const NAME: &str = "alice.proxy.example.com";
    let stage = Stage::new();
    let zone = stage.zone("proxy.example.com");
    let commands = shell_of(README, "## Your AWS account");
    let mut commands = commands.lines().map(|line| line.split(" #").next().unwrap().trim());
    // Nobody delegates a zone of this machine.
    let doctor = commands.next().unwrap();
    assert!(doctor.starts_with("irp doctor"), "{doctor}");
    types(&stage, &format!("{doctor} || true"));
    types(&stage, commands.next().unwrap());
    let up = commands.next().unwrap();
    assert!(up.starts_with("irp up 3000"), "{up}");
    types(&stage, &format!("{up} --dry-run"));

    assert!(README.contains("`HOSTED_ZONE_DOMAIN=proxy.example.com` there"));
    stage.write(".env", "HOSTED_ZONE_DOMAIN=proxy.example.com\n");
    assert_eq!(to_do(&stage), Vec::<String>::new());
    let machine = launch(&stage, &zone, NAME);
    point(&stage, &zone, NAME, &machine.address);
    let listed = types(&stage, commands.next().unwrap());
    assert!(listed.contains(&machine.address), "{listed}");
    let told = types(&stage, commands.next().unwrap());
    assert!(told.contains(&machine.id), "{told}");
    let down = commands.next().unwrap();
    assert!(down.starts_with("irp down"), "{down}");
    types(&stage, down);
    assert_eq!(state(&stage, &machine.id), "terminated");
    assert_eq!(addresses(&stage, &zone, NAME), Vec::<String>::new());
    // irp gc, irp forget.
    for command in commands {
        types(&stage, command);
    }
}

/// What `irp setup` would still do.
#[track_caller]
fn to_do(stage: &Stage) -> Vec<String> {
    let events = stage.events(&["setup", "--dry-run"]);
    let items = events.iter().filter(|event| event["event"] == "item" && event["state"] != "there");
    items.map(|event| event["item"].as_str().unwrap().to_owned()).collect()
}
