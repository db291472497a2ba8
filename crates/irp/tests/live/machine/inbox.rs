//! Events that wait on a machine which ends: the next one of the name delivers them, if the account has a bucket.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use irp_testkit::{origin::Bot, patience::eventually, process::find};
use serde_json::Value;

use super::{
    role::{ask, signed},
    stage::{NAME, Stage},
};
use crate::{edge::Edge, program::free_port};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// What `irp setup` calls the bucket of this account.
const BUCKET: &str = "irp-123456789012-eu-central-1";

/// A machine whose role reads Slack's secret.
async fn stage() -> Stage {
    let mut stage = Stage::set().await;
    stage
        .tables
        .push_str("[aws.secrets]\nslack = \"ssm:/irp/secret/alice/slack\"\n[limits]\nhold = \"1ms\"\n");
    let put = ["ssm", "put-parameter", "--type", "SecureString", "--name", "/irp/secret/alice/slack"];
    stage.moto.cli(&[&put[..], &["--value", SECRET]].concat()).unwrap();
    stage
}

fn make_bucket(stage: &Stage) {
    let place = ["--create-bucket-configuration", "LocationConstraint=eu-central-1"];
    stage.moto.cli(&[&["s3api", "create-bucket", "--bucket", BUCKET], &place[..]].concat()).unwrap();
}

/// The keys of what is in the bucket.
fn objects(stage: &Stage) -> Vec<String> {
    let listed = stage.moto.cli(&["s3api", "list-objects-v2", "--bucket", BUCKET]).unwrap();
    let objects = listed["Contents"].as_array().cloned().unwrap_or_default();
    objects.iter().map(|object| object["Key"].as_str().unwrap().to_owned()).collect()
}

/// Sends an event as Slack does; the status of the answer.
fn send(stage: &Stage, edge: &Edge, number: usize) -> u16 {
    let body =
        format!(r#"{{"type":"event_callback","event_id":"Ev{number}","event":{{"type":"app_mention"}}}}"#);
    let headers = signed(SECRET, &body);
    ask(edge, &stage.root, "/slack/events", &headers.each_ref().map(String::as_str)).0
}

/// The numbers of the events that arrived, in their order.
fn arrived(bot: &Bot) -> Vec<usize> {
    let number = |body: &[u8]| {
        let event: Value = serde_json::from_slice(body).unwrap();
        event["event_id"].as_str().unwrap().trim_start_matches("Ev").parse().unwrap()
    };
    bot.taken().iter().map(|taken| number(&taken.body)).collect()
}

/// Whether a file in a folder holds the text.
fn holds(folder: &Path, text: &str) -> bool {
    let grep = Command::new(find("grep", "grep").unwrap()).args(["-rl", text]).arg(folder).output().unwrap();
    !grep.stdout.is_empty()
}

/// The machine ends, and says so.
fn end(stage: &Stage, edge: Edge) {
    fs::write(stage.file("machine-ends"), "").unwrap();
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_nobody_took_are_delivered_by_the_next_machine() {
    let stage = stage().await;
    make_bucket(&stage);
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    for number in 0..3 {
        assert_eq!(send(&stage, &edge, number), 200, "{}", stage.log());
    }
    assert!(objects(&stage).is_empty());
    end(&stage, edge);
    let left = objects(&stage);
    assert!(left.len() == 1 && left[0].starts_with(&format!("inbox/{NAME}/")), "{left:?}\n{}", stage.log());
    // It is sealed, and its key is in Parameter Store alone.
    let copy = stage.file("copy");
    let get = ["s3api", "get-object", "--bucket", BUCKET, "--key", &left[0], copy.to_str().unwrap()];
    stage.moto.cli(&get).unwrap();
    for text in ["event_callback", "app_mention", "x-slack-signature"] {
        assert!(!holds(&copy, text), "{text} is in the clear");
    }
    let below = ["ssm", "get-parameters-by-path", "--path", &format!("/irp/inbox/{NAME}"), "--recursive"];
    let keys = stage.moto.cli(&below).unwrap();
    let keys = keys["Parameters"].as_array().unwrap();
    assert!(keys.len() == 1 && keys[0]["Type"] == "SecureString", "{keys:?}");
    assert!(!stage.file("edge").join("inbox-key").exists(), "the key is on the disk");

    // Another machine: nothing is left of the first one's disk. It ends before anybody comes.
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    assert!(objects(&stage).is_empty(), "{}", stage.log());
    assert_eq!(send(&stage, &edge, 3), 200);
    end(&stage, edge);
    assert_eq!(objects(&stage).len(), 1);

    // On the third one somebody is there. A restart of its service takes nothing in twice.
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    edge.stop();
    let edge = stage.start_again(1.0);
    stage.serves(&edge, &stage.root).await;
    assert!(objects(&stage).is_empty());
    let bot = Bot::start();
    let mut client = stage.connect(edge.address, bot.address().port(), &stage.root);
    client.event("connected");
    eventually("all events", || bot.count() >= 4).await;
    assert_eq!(send(&stage, &edge, 4), 200);
    eventually("the last event", || bot.count() >= 5).await;
    assert_eq!(arrived(&bot), [0, 1, 2, 3, 4]);
    assert!(bot.taken()[..4].iter().all(|taken| taken.value("irp-parked-at").ends_with('Z')));
    assert!(bot.taken().iter().all(|taken| taken.value("irp-verified") == "slack"));
    client.interrupt();
    client.end();
    end(&stage, edge);
    assert!(objects(&stage).is_empty(), "there is nothing to leave");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_survives_a_restart_of_the_service_without_aws() {
    let mut stage = stage().await;
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    assert_eq!(send(&stage, &edge, 0), 200);
    edge.stop();

    // Nobody listens there, so that the secret is not known either: nothing more is taken in.
    stage.endpoint = format!("http://127.0.0.1:{}", free_port());
    let edge = stage.start_again(1.0);
    stage.serves(&edge, &stage.root).await;
    assert_eq!(send(&stage, &edge, 1), 401);
    let bot = Bot::start();
    let mut client = stage.connect(edge.address, bot.address().port(), &stage.root);
    client.event("connected");
    eventually("the event", || bot.count() >= 1).await;
    assert_eq!(arrived(&bot), [0]);
    client.interrupt();
    client.end();
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bucket_nothing_is_acknowledged_that_would_end_with_the_machine() {
    let stage = stage().await;
    let ends_in = |minutes: u64| {
        let end = SystemTime::now() + Duration::from_secs(minutes * 60);
        let second = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        fs::write(stage.file("ends-at"), second.to_string()).unwrap();
    };
    // A new event each time, since one that is kept is acknowledged again.
    let refused = async |edge: &Edge, first: usize| {
        let mut number = first..;
        eventually("no event is taken in", || send(&stage, edge, number.next().unwrap()) == 503).await;
    };
    // Two hours are left, then half of one.
    ends_in(120);
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    assert_eq!(send(&stage, &edge, 0), 200);
    // Spot takes the machine away.
    stage.imds.announce_spot_end("2026-11-22T20:00:00Z");
    refused(&edge, 100).await;
    // What the program itself answers is not kept, and goes on.
    let bot = Bot::start();
    let mut client = stage.connect(edge.address, bot.address().port(), &stage.root);
    client.event("connected");
    while !client.event("notice")["text"].as_str().unwrap().contains("events are not kept any more") {}
    // Behind what was kept before, which has to go first.
    eventually("an answer of the program", || send(&stage, &edge, 9) == 200).await;
    assert_eq!(arrived(&bot).first(), Some(&0));
    client.interrupt();
    client.end();
    edge.stop();

    stage.imds.remove("spot");
    ends_in(30);
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    refused(&edge, 1000).await;
    edge.stop();

    // With a bucket they are kept to the end.
    make_bucket(&stage);
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    assert_eq!(send(&stage, &edge, 3), 200);
    end(&stage, edge);
    assert_eq!(objects(&stage).len(), 1);
}
