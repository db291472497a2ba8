//! Forwards of a stock `ssh -R` through our own sshd: they come, carry bytes, go, and come back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sshd_world;

use std::time::{Duration, Instant};

use irp_edge::{
    idle::{IdleAfter, IdleTimer, Outcome},
    power::Power,
    tunnels::sshd::Presence,
};
use irp_testkit::openssh::Ssh;
use sshd_world::{GREETING, PATIENCE, World, greet, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::timeout,
};

/// "In seconds": what a person who waits for their name calls at once.
const SOON: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_appears_disappears_and_reappears() {
    let mut world = World::new().await;
    assert_eq!(*world.at_port.borrow(), Presence::Absent);
    assert!(greet(&world.by_port).await.is_err());

    for round in 1..=2 {
        let mut client = world.client();
        world.present().await;
        greet(&world.by_port).await.unwrap();
        greet(&world.by_name).await.unwrap();
        assert_eq!(world.upstream.connections(), round * 2, "the watch itself reached the upstream");
        until("one ssh session and two forwards", || world.activity.seen().sessions == 3).await;

        let killed = Instant::now();
        client.kill().unwrap();
        world.absent().await;
        assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
        until("nobody is there", || world.activity.seen().sessions == 0).await;
        assert!(greet(&world.by_name).await.is_err());
    }
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_client_loses_its_names_to_the_next_one_in_seconds() {
    let mut world = World::new().await;
    let frozen = world.client();
    world.present().await;

    frozen.freeze();
    let froze = Instant::now();
    world.at_port.wait_for(|presence| !presence.is_present()).await.unwrap();
    assert!(froze.elapsed() < SOON, "{:?}", froze.elapsed());
    world.absent().await;
    until("the dead session counts no more", || world.activity.seen().sessions == 0).await;

    let _next = world.client();
    world.present().await;
    greet(&world.by_port).await.unwrap();
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_session_of_the_owner_takes_the_name_at_once() {
    let mut world = World::new().await;
    let _first = Ssh::forward(&world.target(), &[&world.name_forward()], &world.log()).unwrap();
    world.at_name.wait_for(|presence| presence.is_present()).await.unwrap();

    // The second one leads elsewhere, so it shows who is reached.
    let elsewhere = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let forward = format!("{}:127.0.0.1:{}", world.by_name, elsewhere.local_addr().unwrap().port());
    let mut second = Ssh::forward(&world.target(), &[&forward], &world.log()).unwrap();
    let reached = async {
        loop {
            let connection = world.by_name.connect().await;
            tokio::select! {
                accepted = elsewhere.accept() => break drop(accepted.unwrap()),
                () = tokio::time::sleep(Duration::from_millis(200)) => drop(connection),
            }
        }
    };
    timeout(PATIENCE, reached).await.unwrap();

    // Its end leaves a file behind that leads to nobody, while the first one still listens beside it.
    second.kill().unwrap();
    timeout(PATIENCE, world.at_name.wait_for(|presence| !presence.is_present())).await.unwrap().unwrap();
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_is_not_taken_from_a_session_that_lives() {
    let mut world = World::new().await;
    let _first = world.client();
    world.present().await;
    let mut second = Ssh::forward(&world.target(), &[&world.port_forward()], &world.log()).unwrap();
    until("the second client gives up", || second.peer().child().try_wait().unwrap().is_some()).await;
    assert!(second.peer().output().contains("remote port forwarding failed"), "{}", second.peer().output());
    greet(&world.by_port).await.unwrap();
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn megabytes_and_half_closes_pass_both_ways() {
    let mut world = World::new().await;
    let _client = world.client();
    world.present().await;
    for address in [&world.by_port, &world.by_name] {
        let sent: Vec<u8> = (0..4_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
        let (mut read, mut write) = tokio::io::split(address.connect().await.unwrap());
        let exchange = async {
            let send = async {
                write.write_all(&sent).await.unwrap();
                // From here on only the other direction lives.
                write.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            tokio::join!(send, async { read.read_to_end(&mut received).await.unwrap() });
            received
        };
        let received = timeout(PATIENCE, exchange).await.unwrap();
        assert!(received == [GREETING.as_slice(), &sent, b"bye"].concat(), "{} bytes", received.len());
    }
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idle_timer_ends_the_edge_after_the_last_ssh_session() {
    let mut world = World::new().await;
    let mut client = world.client();
    world.present().await;

    let after = IdleAfter::from_hours(1.5 / 3600.0).unwrap();
    let timer = IdleTimer::new(after, world.activity.now());
    let (sender, _left) = watch::channel(timer.countdown());
    let activity = world.activity.clone();
    let mut timing =
        Box::pin(irp_edge::idle::run(timer, activity, Power::Exit, None, sender, world.stop.clone()));
    let early = timeout(Duration::from_secs(3), &mut timing).await;
    assert!(early.is_err(), "ended under a session");

    client.kill().unwrap();
    assert_eq!(timeout(PATIENCE, timing).await.unwrap(), Outcome::Idle);
    world.shut_down().await;
}
