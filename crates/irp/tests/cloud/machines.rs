//! `irp ls`, `status` and `down`: what they tell and do, seen from outside; interrupted, and mended by the next one.

use serde_json::{Value, json};

use crate::{
    gate::{Fate, Gate},
    stage::{Stage, err},
};

const ENV: &str = "HOSTED_ZONE_DOMAIN=proxy.example.com\n";
const NAME: &str = "alice.proxy.example.com";

/// A machine as the tests see it.
pub(crate) struct Launched {
    pub(crate) id: String,
    pub(crate) address: String,
}

/// Launches a machine as irp would, with the AWS CLI.
#[track_caller]
pub(crate) fn launch(stage: &Stage, zone: &str, name: &str) -> Launched {
    launch_with(stage, zone, name, "terminate")
}

/// The same with another shutdown behaviour.
#[track_caller]
pub(crate) fn launch_with(stage: &Stage, zone: &str, name: &str, behaviour: &str) -> Launched {
    let image = stage.aws(&["ec2", "describe-images", "--owners", "amazon"])["Images"][0]["ImageId"].clone();
    let tags = [("irp:name", name), ("irp:engine", "irp"), ("irp:zone", zone), ("irp:idle-hours", "0.5")];
    let tags = tags.map(|(key, value)| format!("{{Key={key},Value={value}}}")).join(",");
    let specification = format!("ResourceType=instance,Tags=[{tags}]");
    let run = ["ec2", "run-instances", "--instance-type", "t4g.nano", "--tag-specifications", &specification];
    let more = ["--image-id", image.as_str().unwrap(), "--instance-initiated-shutdown-behavior", behaviour];
    let made = stage.aws(&[&run[..], &more[..]].concat());
    let id = made["Instances"][0]["InstanceId"].as_str().unwrap().to_owned();
    let seen = stage.aws(&["ec2", "describe-instances", "--instance-ids", &id]);
    let address = seen["Reservations"][0]["Instances"][0]["PublicIpAddress"].as_str().unwrap().to_owned();
    Launched { id, address }
}

/// Writes a record as the edge would.
#[track_caller]
pub(crate) fn point(stage: &Stage, zone: &str, name: &str, address: &str) {
    let set = json!({ "Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{ "Value": address }] });
    let batch = json!({ "Changes": [{ "Action": "UPSERT", "ResourceRecordSet": set }] }).to_string();
    let change =
        ["route53", "change-resource-record-sets", "--hosted-zone-id", zone, "--change-batch", &batch];
    stage.aws(&change);
}

/// The addresses in the zone under a name.
#[track_caller]
pub(crate) fn addresses(stage: &Stage, zone: &str, name: &str) -> Vec<String> {
    let sets = stage.aws(&["route53", "list-resource-record-sets", "--hosted-zone-id", zone]);
    let sets = sets["ResourceRecordSets"].as_array().unwrap().clone();
    let own = sets.iter().filter(|set| set["Name"] == format!("{name}.") && set["Type"] == "A");
    own.flat_map(|set| set["ResourceRecords"].as_array().unwrap())
        .map(|record| record["Value"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
pub(crate) fn state(stage: &Stage, id: &str) -> String {
    let seen = stage.aws(&["ec2", "describe-instances", "--instance-ids", id]);
    seen["Reservations"][0]["Instances"][0]["State"]["Name"].as_str().unwrap().to_owned()
}

fn stage() -> (Stage, String) {
    let stage = Stage::new();
    stage.write(".env", ENV);
    let zone = stage.zone("proxy.example.com");
    (stage, zone)
}

#[test]
fn machines_are_listed_and_told_with_state_age_and_cost() {
    let (stage, zone) = stage();
    let output = stage.irp(&["ls"]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", err(&output));
    assert!(err(&output).contains("no machines of irp in eu-central-1"), "{}", err(&output));

    let alice = launch(&stage, &zone, NAME);
    let bob = launch(&stage, &zone, "bob.proxy.example.com");
    let strange = stage.aws(&["ec2", "run-instances", "--image-id", "ami-12345678"]);
    let strange = strange["Instances"][0]["InstanceId"].as_str().unwrap().to_owned();

    let table = stage.run(&["ls"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines.len() == 3 && lines[0].trim_start().starts_with("URL"), "{table}");
    for word in [&format!("https://{NAME}"), "running", &alice.address, "t4g.nano", "$0.010/h"] {
        assert!(lines[1].contains(word), "{word}: {table}");
    }
    assert!(!table.contains(&strange), "{table}");

    let events = stage.events(&["ls"]);
    assert_eq!(events.len(), 2, "one object a line for each machine");
    let first = &events[0];
    assert_eq!(
        (&first["name"], &first["id"], &first["state"]),
        (&json!(NAME), &json!(alice.id), &json!("running"))
    );
    assert_eq!((&first["engine"], &first["idle_hours"]), (&json!("irp"), &json!(0.5)));
    assert!(first["cost_usd"].as_f64().unwrap() > 0.0 && first["prices_of"].is_string(), "{first}");

    stage.aws(&["ec2", "terminate-instances", "--instance-ids", &bob.id]);
    assert_eq!(stage.events(&["ls"]).len(), 1);
    let all = stage.events(&["ls", "--all"]);
    assert_eq!((all.len(), &all[1]["state"], &all[1]["cost_usd"]), (2, &json!("terminated"), &Value::Null));
}

#[test]
fn the_status_of_a_name_tells_its_machine_and_where_its_record_leads() {
    let (stage, zone) = stage();
    let told = |arguments: &[&str]| stage.events(&[&["status"], arguments].concat()).remove(0);
    let none = told(&[]);
    assert_eq!(
        (&none["name"], &none["state"], &none["machine"]),
        (&json!(NAME), &json!("none"), &Value::Null)
    );
    assert!(stage.run(&["status"]).contains("no machine of alice.proxy.example.com in eu-central-1"));

    let alice = launch(&stage, &zone, NAME);
    assert_eq!(told(&[])["record"]["state"], "missing");
    point(&stage, &zone, NAME, &alice.address);
    for typed in [&[][..], &["alice"], &[NAME], &["https://alice.proxy.example.com/"]] {
        let status = told(typed);
        assert_eq!(
            (&status["state"], &status["record"]["state"]),
            (&json!("running"), &json!("here")),
            "{status}"
        );
        assert_eq!(status["machine"]["id"], json!(alice.id));
    }
    let shown = stage.run(&["status", "alice"]);
    for word in [
        "https://alice.proxy.example.com",
        "running, launched",
        &alice.address,
        "points here",
        "$0.010 an hour",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(shown.contains("30 min after its last session"), "{shown}");

    point(&stage, &zone, NAME, "198.51.100.9");
    assert_eq!(told(&[])["record"], json!({ "state": "elsewhere", "values": ["198.51.100.9"] }));
    let second = launch(&stage, &zone, NAME);
    assert_eq!(told(&[])["others"], json!([second.id]));
    let output = stage.irp(&["status"]).output().unwrap();
    assert!(err(&output).contains("more machines of this name"), "{}", err(&output));
}

#[test]
fn down_ends_the_machine_with_its_record_and_nothing_of_others() {
    let (stage, zone) = stage();
    let (alice, bob) = (launch(&stage, &zone, NAME), launch(&stage, &zone, "bob.proxy.example.com"));
    point(&stage, &zone, NAME, &alice.address);
    point(&stage, &zone, "bob.proxy.example.com", &bob.address);
    let events = stage.events(&["down", "alice"]);
    let last = events.last().unwrap();
    assert_eq!(
        (&last["machines"], &last["records"]),
        (&json!([alice.id]), &json!([alice.address])),
        "{last}"
    );
    assert_eq!(state(&stage, &alice.id), "terminated");
    assert_eq!(addresses(&stage, &zone, NAME), [""; 0]);
    assert_eq!(state(&stage, &bob.id), "running");
    assert_eq!(addresses(&stage, &zone, "bob.proxy.example.com"), [bob.address.as_str()]);

    // Again: nothing is there, and that is well.
    let output = stage.irp(&["down"]).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    assert!(
        err(&output).contains("alice.proxy.example.com has no machine in eu-central-1"),
        "{}",
        err(&output)
    );

    // A record that points elsewhere by now is not ours.
    let alice = launch(&stage, &zone, NAME);
    point(&stage, &zone, NAME, "198.51.100.9");
    stage.run(&["down"]);
    assert_eq!(state(&stage, &alice.id), "terminated");
    assert_eq!(addresses(&stage, &zone, NAME), ["198.51.100.9"]);
    let output = stage.irp(&["down"]).output().unwrap();
    let text = err(&output);
    assert!(output.status.success() && text.contains("→ 198.51.100.9") && text.contains("irp gc"), "{text}");
    assert_eq!(addresses(&stage, &zone, NAME), ["198.51.100.9"]);
}

#[test]
fn what_a_down_that_was_killed_has_left_is_mended_by_the_next_one() {
    let (stage, zone) = stage();
    let moto = stage.moto().address();
    for (mark, fate) in [
        ("Action=TerminateInstances", Fate::Lost),
        ("Action=TerminateInstances", Fate::Unanswered),
        ("<Action>DELETE</Action>", Fate::Lost),
        ("<Action>DELETE</Action>", Fate::Unanswered),
    ] {
        let alice = launch(&stage, &zone, NAME);
        point(&stage, &zone, NAME, &alice.address);
        let gate = Gate::before(moto, mark, fate);
        gate.kill_at_the_call(stage.irp_at(&gate.url(), &["down"]));
        let is_ended = state(&stage, &alice.id) == "terminated";
        assert_eq!(is_ended, mark.contains("Terminate") && fate == Fate::Unanswered, "{mark} {fate:?}");
        if !is_ended {
            // The edge, which knows nothing of all this, writes its record again.
            point(&stage, &zone, NAME, &alice.address);
        }
        stage.run(&["down"]);
        assert_eq!(state(&stage, &alice.id), "terminated", "{mark} {fate:?}");
        assert_eq!(addresses(&stage, &zone, NAME), [""; 0], "{mark} {fate:?}");
    }
}
