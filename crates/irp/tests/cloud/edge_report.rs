//! What `irp status`, `ls` and `down` hear from the edge itself: a real one, with a real client, beside moto.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use irp_testkit::{
    imds::Imds,
    moto::{KEY_ID, SECRET},
};
use serde_json::{Value, json};

use crate::{
    machines::{Launched, launch, state},
    stage::{Stage, out},
};

/// Names below localhost are what the local authority certifies.
const NAME: &str = "alice.localhost";

/// Slack's, which the edge verifies with.
const SIGNING_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// How long anything may take here.
const WITHIN: Duration = Duration::from_secs(90);

/// A program under way, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A machine in moto, and an edge here that stands for the one on it.
struct World {
    stage: Arc<Stage>,
    machine: Launched,
    edge: SocketAddr,
    ca: String,
    _running: Running,
    _imds: Imds,
}

/// Starts a program and waits for one of its events.
fn start(stage: &Stage, url: &str, arguments: &[&str], event: &str) -> (Running, Value) {
    let mut command = stage.irp_at(url, arguments);
    // The edge's credentials are those of the machine's role.
    command.env_remove("AWS_EC2_METADATA_DISABLED");
    let log = File::create(stage.home().join(format!("{event}.log"))).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(log).stdin(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let running = Running(child);
    for line in lines {
        let told: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if told["event"] == event {
            return (running, told);
        }
    }
    panic!("no {event}: {}", std::fs::read_to_string(stage.home().join(format!("{event}.log"))).unwrap());
}

impl World {
    /// Its edge cannot reach AWS.
    async fn new() -> Self {
        Self::with("zone_id = \"Z1\"\ncert_store = \"file\"\n").await
    }

    /// With these lines of `[aws]` in its edge's configuration.
    async fn with(aws: &'static str) -> Self {
        let imds = Imds::start().await.unwrap();
        imds.set("public-ipv4", "203.0.113.7");
        imds.set_role("irp-edge-alice", KEY_ID, SECRET, "session", "2038-01-01T00:00:00Z");
        let metadata = imds.url();
        tokio::task::spawn_blocking(move || {
            let stage = Stage::new();
            stage.write(".env", "HOSTED_ZONE_DOMAIN=proxy.example.com\n");
            let zone = stage.zone("proxy.example.com");
            let machine = launch(&stage, &zone, NAME);
            let made: Value = serde_json::from_str(stage.run(&["--json", "keygen"]).trim()).unwrap();
            let public = made["public"].as_str().unwrap();
            let state = stage.home().join("edge");
            stage.write("slack", SIGNING_SECRET);
            stage.write(
                "edge.toml",
                &format!(
                    "listen = [\"127.0.0.1:0\"]\nstate_dir = {state:?}\n[certificate]\nmode = \"local\"\n[aws]\n{aws}region = \
                     \"eu-central-1\"\nmetadata = {metadata:?}\n[[key]]\npublic = {public:?}\nnames = [{NAME:?}]\n[[host]]\n\
                     name = {NAME:?}\n[[host.verify]]\nprovider = \"slack\"\nsecret_file = \"slack\"\n"
                ),
            );
            let arguments = ["--json", "edge", "--config", "edge.toml"];
            let (running, listening) = start(&stage, "http://127.0.0.1:1", &arguments, "listening");
            let edge = listening["addresses"][0].as_str().unwrap().parse().unwrap();
            let ca = stage.run(&["ca", "path"]).trim().to_owned();
            Self { stage: Arc::new(stage), machine, edge, ca, _running: running, _imds: imds }
        })
        .await
        .unwrap()
    }

    /// `irp status` of the name.
    fn status(&self, more: &[&str]) -> Value {
        let at = self.edge.to_string();
        let arguments = [&["status", NAME, "--connect-to", &at, "--cacert", &self.ca], more].concat();
        self.stage.events(&arguments).remove(0)
    }

    /// The same, again and again until it is as wanted.
    fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + WITHIN;
        loop {
            let status = self.status(&[]);
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{status}");
        }
    }
}

#[tokio::test]
async fn the_edge_tells_who_is_connected_when_it_ends_and_what_does_not_work() {
    let world = World::new().await;
    tokio::task::spawn_blocking(move || {
        let alone = world.until(|status| status["edge"]["troubles"] != json!([]));
        let edge = &alone["edge"];
        assert_eq!(
            (&edge["sessions"], &edge["tunnels"]),
            (&json!(0), &json!([])),
            "a question is no session"
        );
        assert_eq!(edge["idle"]["is"], "running", "{edge}");
        let trouble = edge["troubles"][0].as_str().unwrap();
        assert!(trouble.starts_with("AWS unreachable, retrying"), "{trouble}");

        let at = world.edge.to_string();
        let connect = ["--json", "connect", NAME, "1", "--connect-to", &at, "--cacert", &world.ca];
        let (client, _) = start(&world.stage, "http://127.0.0.1:1", &connect, "connected");
        let held = world.until(|status| status["edge"]["sessions"] == 1);
        assert_eq!(held["edge"]["tunnels"][0]["name"], NAME);
        assert_eq!(held["edge"]["idle"], json!({ "is": "held", "after_s": 3600 }));
        let shown = world.stage.run(&["status", NAME, "--connect-to", &at, "--cacert", &world.ca]);
        for words in
            ["by irp, alice", "1 in all", "1 h after the last one leaves", "AWS unreachable, retrying"]
        {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        drop(client);
        world.until(|status| status["edge"]["sessions"] == 0);

        // A key that the edge does not know hears nothing.
        let other = world.stage.home().join("other").display().to_string();
        world.stage.run(&["keygen", "--output", &other]);
        let refused = world.status(&["--key", &other]);
        assert!(refused["edge"]["unknown"].as_str().unwrap().contains("does not know your key"), "{refused}");
        assert_eq!(refused["state"], "running");
        let unasked = world.status(&["--no-edge"]);
        assert_eq!(unasked["edge"], Value::Null);

        let output =
            world.stage.irp(&["down", NAME, "--connect-to", &at, "--cacert", &world.ca]).output().unwrap();
        assert!(output.status.success(), "{}", out(&output));
        assert_eq!(state(&world.stage, &world.machine.id), "terminated");
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn down_says_how_many_events_wait_and_ends_the_machine_only_when_it_is_told_to() {
    let world = World::with("role = false\nrecord = false\ncert_store = \"file\"\n").await;
    tokio::task::spawn_blocking(move || {
        let to = format!("https://{NAME}:{}/slack/events", world.edge.port());
        for number in 1..=2 {
            world
                .stage
                .write("event.json", &format!(r#"{{"type":"event_callback","event_id":"Ev{number}"}}"#));
            let sent = world
                .stage
                .irp(&["sign", "slack", "--to", &to, "--body", "event.json"])
                .env("SLACK_SIGNING_SECRET", SIGNING_SECRET)
                .output()
                .unwrap();
            assert!(sent.status.success(), "{}", out(&sent));
        }
        let at = world.edge.to_string();
        let down = |more: &[&str]| {
            let arguments = [&["down", NAME, "--connect-to", &at, "--cacert", &world.ca], more].concat();
            world.stage.irp(&arguments).stdin(Stdio::null()).output().unwrap()
        };
        let refused = down(&[]);
        assert!(!refused.status.success());
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains("2 events wait there for a tunnel, and would be lost"), "{told}");
        assert!(told.contains("irp down --yes"), "{told}");
        assert_eq!(state(&world.stage, &world.machine.id), "running");
        let done = down(&["--yes"]);
        assert!(done.status.success(), "{}", out(&done));
        assert_eq!(state(&world.stage, &world.machine.id), "terminated");
    })
    .await
    .unwrap();
}
