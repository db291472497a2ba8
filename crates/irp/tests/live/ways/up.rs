//! `irp up` to a machine that runs, by the way that leads to it.

use irp_testkit::{
    openssh::user,
    origin::Origin,
    patience::{eventually, eventually_blocking},
};
use serde_json::{Value, json};

use super::stage::{ID, NAME, World};
use crate::{
    edge::{Edge, LOCAL, key_table},
    program::{Running, ca_path, free_port, irp},
};

/// `irp up` to this program, in the account of a world.
fn up(world: &World, origin: &Origin, more: &[&str]) -> Running {
    let upstream = origin.port().to_string();
    let settings = ["--host-name", "bot", "--hosted-zone-domain", "irp.localhost"];
    world.start(&[&["up", &upstream], &settings[..], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_leads_to_session_manager() {
    let world = World::new().await;
    let made = irp(world.home(), &["--json", "keygen"]).output().unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let edge = Edge::start(
        world.home(),
        &format!("{LOCAL}{}", key_table(made["public"].as_str().unwrap(), &[NAME])),
    );
    let ca = ca_path(world.home());
    world.change(|machine| {
        // Nobody answers there.
        machine.address = Some("127.0.0.9".into());
        machine.port = Some(edge.address.port());
    });
    let origin = Origin::start();
    let mut client = up(&world, &origin, &["--cacert", &ca, "--profile", "work"]);
    let machine = client.event("machine");
    assert_eq!((&machine["id"], &machine["launched"]), (&json!(ID), &json!(false)));
    let other = client.event("other_way");
    assert!(other["why"].as_str().unwrap().contains("127.0.0.9:443"), "{other}");
    assert_eq!(client.event("connected")["via"], format!("Session Manager to {ID}"));
    eventually_blocking("it is served", || edge.status(&ca, NAME) == Some(200));
    assert_eq!(world.asked("StartSession")[0]["Parameters"]["portNumber"], json!(["443"]));
    assert_eq!(world.plugin.calls()[0].profile, "work");
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    eventually("the session to end", || world.asked("TerminateSession").len() == 1).await;
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn to_caddy_ssh_is_run_through_session_manager() {
    let world = World::new().await;
    let sshd = world.sshd("");
    let port = free_port();
    world.change(|machine| {
        (machine.engine, machine.upstream_port) = ("caddy", port);
        machine.address = Some("127.0.0.9".into());
        machine.port = Some(sshd.port());
    });
    // What Caddy does there: it serves what comes out of the forward.
    let edge =
        Edge::start(world.home(), &format!("{LOCAL}[sshd]\nupstream_port = {port}\nnames = [{NAME:?}]\n"));
    let ca = ca_path(world.home());
    let origin = Origin::start();
    let archive = "https://example.com/caddy_linux_arm64.tar.gz";
    let caddy = ["--caddy-dl-url", archive, "--caddy-sha256", &"a".repeat(64)];
    let mut client = up(&world, &origin, &caddy);
    let connected = client.event("connected");
    let way = format!("ssh to {}@{ID} through Session Manager", user().unwrap());
    assert!(connected["via"].as_str().unwrap().starts_with(&way), "{connected}");
    assert_eq!(
        (&connected["edge"], &connected["urls"]),
        (&json!("caddy"), &json!([format!("https://{NAME}")]))
    );
    eventually_blocking("it is served", || edge.status(&ca, NAME) == Some(200));
    assert!(origin.counters().seen() > 0);
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));

    // Nobody verifies there: that is told before anything is done.
    let mut client = up(&world, &origin, &[&caddy[..], &["--verify", "slack"]].concat());
    let why = client.event("error");
    assert!(why["message"].as_str().unwrap().contains("--verify cannot be had with engine caddy"), "{why}");
    assert_eq!(client.end().code(), Some(2));
    edge.stop();
}
