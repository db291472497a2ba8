//! irp's own tunnel: to the machine's port, and through Session Manager.

use std::net::Ipv4Addr;

use irp_testkit::{origin::Origin, patience::eventually};
use serde_json::{Value, json};

use super::stage::{ID, NAME, TOKEN, World, refusal};
use crate::{
    edge::{Edge, LOCAL, key_table},
    program::{Running, ca_path, irp},
};

/// The edge of the machine, at an address to which no resolver leads.
struct Served {
    world: World,
    origin: Origin,
    edge: Edge,
    ca: String,
    host: String,
}

impl Served {
    async fn new() -> Self {
        let world = World::new().await;
        let made = irp(world.home(), &["--json", "keygen"]).output().unwrap();
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let tables = format!("{LOCAL}{}", key_table(made["public"].as_str().unwrap(), &[NAME]));
        let edge = Edge::start(world.home(), &tables);
        let (ca, host) = (ca_path(world.home()), edge.host(NAME));
        Self { world, origin: Origin::start(), edge, ca, host }
    }

    fn connect(&self, more: &[&str]) -> Running {
        let upstream = self.origin.port().to_string();
        let arguments = [&["connect", &self.host, &upstream, "--cacert", &self.ca], more].concat();
        self.world.start(&arguments)
    }

    /// A request of a visitor, which must come out at the program behind the tunnel.
    fn is_served(&self) {
        let before = self.origin.counters().seen();
        assert_eq!(self.edge.status(&self.ca, NAME), Some(200));
        assert_eq!(self.origin.counters().seen(), before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_manager_carries_requests_where_no_port_is_open() {
    let served = Served::new().await;
    let mut client = served.connect(&["--via", "ssm", "--profile", "work"]);
    let connected = client.event("connected");
    assert_eq!(connected["via"], format!("Session Manager to {ID}"));
    served.is_served();

    let call = served.world.plugin.calls().remove(0);
    assert!(call.by_variable && call.group, "{call:?}");
    assert_eq!((call.region.as_str(), call.profile.as_str()), ("eu-central-1", "work"));
    assert_eq!(call.endpoint, served.world.aws.url());
    let port = served.edge.address.port().to_string();
    let request = json!({
        "Target": ID, "DocumentName": "AWS-StartSSHSession", "Parameters": { "portNumber": [port] },
    });
    assert_eq!(call.request, request);
    assert_eq!(served.world.asked("StartSession"), [request]);

    client.interrupt();
    assert!(!client.log().contains(TOKEN));
    assert_eq!(client.end().code(), Some(0));
    // It has ended only after AWS was told.
    assert_eq!(served.world.asked("TerminateSession"), [json!({ "SessionId": "alice-0123456789abcdef0" })]);
    served.edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_dialled_at_its_own_address() {
    let served = Served::new().await;
    served.world.change(|machine| machine.address = Some(Ipv4Addr::LOCALHOST.to_string()));
    for way in [&["--via", "tls"][..], &["--via", "auto"]] {
        let mut client = served.connect(way);
        let via = client.event("connected")["via"].clone();
        assert_eq!(via, format!("direct {}", served.edge.address));
        served.is_served();
        client.interrupt();
        assert_eq!(client.end().code(), Some(0));
    }
    assert!(served.world.plugin.calls().is_empty() && served.world.asked("StartSession").is_empty());
    served.edge.stop();
}

/// The edge listens at 127.0.0.1 alone: at the address that AWS tells, nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_leads_to_session_manager() {
    let served = Served::new().await;
    served.world.change(|machine| machine.address = Some("127.0.0.9".into()));
    let mut client = served.connect(&["--via", "auto"]);
    let other = client.event("other_way");
    let why = other["why"].as_str().unwrap();
    assert!(why.contains("cannot reach bot.irp.localhost") && why.contains("127.0.0.9"), "{why}");
    assert_eq!(other["next"], format!("Session Manager to {ID}"));
    assert_eq!(client.event("connected")["via"], format!("Session Manager to {ID}"));
    served.is_served();
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    served.edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_looked_for_in_the_account_where_settings_have_its_zone() {
    let served = Served::new().await;
    served.world.change(|machine| machine.address = Some(Ipv4Addr::LOCALHOST.to_string()));
    let settings = served.world.home().join(".env");
    std::fs::write(&settings, "HOSTED_ZONE_DOMAIN=irp.localhost\n").unwrap();
    let label = served.host.replace(".irp.localhost", "");
    for typed in [&label, &served.host] {
        let upstream = served.origin.port().to_string();
        let mut client = served.world.start(&["connect", typed, &upstream, "--cacert", &served.ca]);
        assert_eq!(client.event("connected")["via"], format!("direct {}", served.edge.address));
        served.is_served();
        client.interrupt();
        assert_eq!(client.end().code(), Some(0));
    }
    // Whose machine is not there may be elsewhere.
    let mut client = served.world.start(&["connect", "other.irp.localhost", "3000"]);
    let warning = client.event("warning")["message"].as_str().unwrap().to_owned();
    assert!(warning.contains("no machine serves other.irp.localhost"), "{warning}");
    assert_eq!(client.event("connecting")["address"], "other.irp.localhost:443");
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    served.edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_name_of_elsewhere_needs_no_account() {
    let served = Served::new().await;
    let resolved = served.edge.address.to_string();
    let mut client = served.connect(&["--connect-to", &resolved]);
    client.event("connected");
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    assert!(served.world.aws.asked().is_empty());
    served.edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_of_a_young_machine_is_waited_for() {
    let served = Served::new().await;
    let now = time::OffsetDateTime::now_utc();
    let now = now.format(&time::format_description::well_known::Rfc3339).unwrap();
    served.world.change(|machine| {
        machine.launched = now;
        machine.no_session = vec![refusal("TargetNotConnected", "i-0123456789abcdef0 is not connected."); 2];
    });
    let mut client = served.connect(&["--via", "ssm"]);
    let why = client.event("failed")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("is not connected yet"), "{why}");
    client.event("connected");
    served.is_served();
    assert_eq!(served.world.asked("StartSession").len(), 3);
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    served.edge.stop();
}

/// A session that breaks is followed by another one, and AWS hears of the end of each.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_breaks_is_made_again() {
    let served = Served::new().await;
    let mut client = served.connect(&["--via", "ssm"]);
    client.event("connected");
    let pid = served.world.plugin.calls()[0].pid.to_string();
    let kill = irp_testkit::process::find("kill", "procps").unwrap();
    assert!(std::process::Command::new(kill).args(["-KILL", &pid]).status().unwrap().success());
    client.event("lost");
    client.event("connected");
    served.is_served();
    eventually("the end of the first", || !served.world.asked("TerminateSession").is_empty()).await;
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    assert_eq!(served.world.asked("TerminateSession").len(), 2);
    served.edge.stop();
}
