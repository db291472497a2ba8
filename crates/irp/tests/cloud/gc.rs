//! `irp gc`: what it finds, what it leaves alone, and that it asks.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::{
    machines::{addresses, launch, launch_with, point, state},
    stage::{Stage, err},
};

const ENV: &str = "HOSTED_ZONE_DOMAIN=proxy.example.com\n";
const NAME: &str = "alice.proxy.example.com";
const BOB: &str = "bob.proxy.example.com";

fn stage() -> (Stage, String) {
    let stage = Stage::new();
    stage.write(".env", ENV);
    let zone = stage.zone("proxy.example.com");
    (stage, zone)
}

/// What is found, as words, sorted.
#[track_caller]
fn found(events: &[Value]) -> Vec<String> {
    let left = events.iter().filter(|event| event["event"] == "leftover");
    let mut words: Vec<_> = left.map(|event| event["what"].as_str().unwrap().to_owned()).collect();
    words.sort();
    words
}

/// Makes irp's group as a launch would.
#[track_caller]
fn group(stage: &Stage) -> String {
    let made = stage.aws(&[
        "ec2",
        "create-security-group",
        "--group-name",
        "irp-edge",
        "--description",
        "irp",
        "--tag-specifications",
        "ResourceType=security-group,Tags=[{Key=irp:group,Value=irp-edge}]",
    ]);
    made["GroupId"].as_str().unwrap().to_owned()
}

#[test]
fn where_all_is_well_nothing_is_found() {
    let (stage, zone) = stage();
    stage.run(&["setup"]);
    let alice = launch(&stage, &zone, NAME);
    point(&stage, &zone, NAME, &alice.address);
    let events = stage.events(&["gc", "--yes"]);
    assert_eq!(events.last().unwrap(), &json!({ "event": "gc", "found": 0, "removed": 0 }), "{events:?}");
    assert_eq!(state(&stage, &alice.id), "running");
    assert_eq!(addresses(&stage, &zone, NAME), [alice.address]);
    assert!(
        !stage.aws(&["ec2", "describe-security-groups", "--group-names", "irp-edge"])["SecurityGroups"]
            .is_null()
    );
}

#[test]
fn everything_that_is_left_is_shown_and_goes_after_a_yes_and_nothing_else() {
    let (stage, zone) = stage();
    let (serving, second) = (launch(&stage, &zone, NAME), launch(&stage, &zone, NAME));
    let stopped = launch(&stage, &zone, BOB);
    stage.aws(&["ec2", "stop-instances", "--instance-ids", &stopped.id]);
    let would_stop = launch_with(&stage, &zone, "carol.proxy.example.com", "stop");
    let gone = launch(&stage, &zone, "dave.proxy.example.com");
    stage.aws(&["ec2", "terminate-instances", "--instance-ids", &gone.id]);
    let strange = stage.aws(&["ec2", "run-instances", "--image-id", "ami-12345678"]);
    let strange = strange["Instances"][0]["InstanceId"].as_str().unwrap().to_owned();
    let group = group(&stage);

    point(&stage, &zone, NAME, &serving.address);
    point(&stage, &zone, "dave.proxy.example.com", "198.51.100.4");
    point(&stage, &zone, "www.proxy.example.com", "198.51.100.5");
    let bucket = "irp-123456789012-eu-central-1";
    stage.aws(&[
        "s3api",
        "create-bucket",
        "--bucket",
        bucket,
        "--create-bucket-configuration",
        "LocationConstraint=eu-central-1",
    ]);
    stage.aws(&["s3api", "put-object", "--bucket", bucket, "--key", "edge/new"]);

    let expected = ["group", "machine", "machine", "record", "shutdown-behaviour"];
    let dry = stage.events(&["gc"]);
    assert_eq!(found(&dry), expected, "{dry:?}");
    assert_eq!(dry.last().unwrap()["removed"], 0, "nobody said yes");
    let second_told = dry.iter().find(|event| event["id"] == json!(second.id)).unwrap();
    assert!(second_told["why"].as_str().unwrap().starts_with(&serving.id), "{second_told}");
    assert_eq!(second_told["cost_usd_per_month"], 7.36);
    let stopped_told = dry.iter().find(|event| event["id"] == json!(stopped.id)).unwrap();
    assert_eq!(stopped_told["cost_usd_per_month"], 0.64, "{stopped_told}");

    // People get a table, and what to type where nobody can be asked.
    let mut command = stage.irp(&["gc"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("dave.proxy.example.com → 198.51.100.4"), "{text}");
    assert!(text.contains("$7.36") && err(&output).contains("irp gc --yes"), "{text}");
    assert_eq!(state(&stage, &second.id), "running");

    let done = stage.events(&["gc", "--yes"]);
    assert_eq!(done.last().unwrap(), &json!({ "event": "gc", "found": 5, "removed": 5 }), "{done:?}");
    assert_eq!(state(&stage, &serving.id), "running");
    assert_eq!(state(&stage, &second.id), "terminated");
    assert_eq!(state(&stage, &stopped.id), "terminated");
    assert_eq!(state(&stage, &strange), "running", "not irp's");
    assert_eq!(state(&stage, &would_stop.id), "running", "it is in use, and ends itself now");
    assert_eq!(addresses(&stage, &zone, "dave.proxy.example.com"), [""; 0]);
    assert_eq!(addresses(&stage, &zone, "www.proxy.example.com"), ["198.51.100.5"], "not irp's");
    assert_eq!(addresses(&stage, &zone, NAME), [serving.address]);
    let groups = stage.aws(&["ec2", "describe-security-groups"]).to_string();
    assert!(!groups.contains(&group), "{groups}");
    let kept = stage.aws(&["s3api", "list-objects-v2", "--bucket", bucket]);
    assert_eq!(kept["Contents"][0]["Key"], "edge/new", "not old enough");
    // moto takes the call for its shutdown behaviour and does nothing: its words are compared in the tests of irp-aws.
    assert_eq!(found(&stage.events(&["gc"])), ["shutdown-behaviour"]);
}

#[test]
fn records_of_a_name_that_was_set_up_are_found_without_any_machine() {
    let (stage, zone) = stage();
    stage.run(&["setup"]);
    // The launch template is another name's by now; the CAA records still tell.
    stage.aws(&["ec2", "delete-launch-template", "--launch-template-name", "reverse-proxy"]);
    point(&stage, &zone, NAME, "198.51.100.4");
    let challenge = json!({ "Changes": [{ "Action": "UPSERT", "ResourceRecordSet": {
        "Name": format!("_acme-challenge.{NAME}"), "Type": "TXT", "TTL": 60,
        "ResourceRecords": [{ "Value": "\"left\"" }] } }] })
    .to_string();
    let change = ["change-resource-record-sets", "--hosted-zone-id", &zone, "--change-batch", &challenge];
    stage.aws(&[&["route53"], &change[..]].concat());
    assert_eq!(found(&stage.events(&["gc", "--yes"])), ["challenge", "group", "record"]);
    assert_eq!(addresses(&stage, &zone, NAME), [""; 0]);
    let sets = stage.aws(&["route53", "list-resource-record-sets", "--hosted-zone-id", &zone]).to_string();
    assert!(!sets.contains("_acme-challenge") && sets.contains("CAA"), "{sets}");
}
