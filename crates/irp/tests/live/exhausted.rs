//! An edge whose file descriptors are used up: it waits for some to come back.

use std::{
    fs,
    net::TcpStream,
    time::{Duration, Instant},
};

use irp_testkit::{descriptors, origin::Origin, patience::eventually_blocking};
use tempfile::TempDir;

use crate::{
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, irp},
};

const NAME: &str = "bot.localhost";

/// How many descriptors are left before the visitors come: enough for an honest one and for lanes.
const SPARE: u64 = 16;

/// How many visitors come and say nothing. Those who got in are thrown out after a while, but others wait.
const VISITORS: usize = 200;

/// What the edge logs for each attempt that failed.
const REFUSED: &str = "cannot accept connections";

/// How many more attempts are watched.
const ATTEMPTS: usize = 5;

/// Attempts are further apart than this.
const APART: Duration = Duration::from_millis(100);

#[test]
fn without_descriptors_an_edge_waits_and_serves_again_when_there_are_some() {
    let home = TempDir::new().unwrap();
    let origin = Origin::start();
    let key = key_table(&keygen(home.path()), &[NAME]);
    let edge = Edge::start(home.path(), &format!("{LOCAL}{key}"));
    let ca = ca_path(home.path());
    let (host, upstream, address) = (edge.host(NAME), origin.port().to_string(), edge.address.to_string());
    let arguments = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", &ca];
    let mut client = Running::start(irp(home.path(), &arguments), home.path().join("client.log"));
    client.event("connected");
    assert_eq!(edge.status(&ca, NAME), Some(200));

    descriptors::leave(edge.running.id(), SPARE).unwrap();
    let visitors: Vec<_> = (0..VISITORS).map(|_| TcpStream::connect(edge.address).unwrap()).collect();
    let failed = || edge.running.log().matches(REFUSED).count();
    eventually_blocking("descriptors run out", || failed() > 0);

    let (start, cpu_before, before) = (Instant::now(), cpu_time(edge.running.id()), failed());
    eventually_blocking("more attempts", || failed() >= before + ATTEMPTS);
    let (attempts, cpu) = (failed() - before, cpu_time(edge.running.id()) - cpu_before);
    let took = start.elapsed();
    assert!(APART * u32::try_from(attempts - 1).unwrap() <= took, "{attempts} attempts in {took:?}");
    assert!(cpu <= took / 2, "waiting for {took:?} cost {cpu:?}");

    drop(visitors);
    assert_eq!(edge.status(&ca, NAME), Some(200));
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
    edge.stop();
}

/// The time for which a process had a processor, as `/proc` tells it: in hundredths of a second.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in parentheses, may contain anything; fields 14 and 15 are user and system.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
