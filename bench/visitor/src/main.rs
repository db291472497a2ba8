//! A visitor that keeps to a timetable.
//!
//! `bench-visitor ADDRESS HOST CA_FILE CONNECTIONS RATE WARM_UP SECONDS` opens CONNECTIONS TLS connections to
//! ADDRESS, asks for `/` over HTTP/1.1 keep-alive RATE times a second in all, and prints one JSON line:
//! `{"sent": requests counted, "failed": not 200 or broken, "late": counted requests that began more than a
//! millisecond late, "p50", "p90", "p99", "max": ms}`. Only requests due after the first WARM_UP seconds count.
//!
//! The time of a request runs from the moment at which it was *due*, not from when it could be sent: a
//! server that stalls for a second is charged for every request due in that second, where a visitor that
//! waits politely for each answer would see a single slow one.
//!
//! Each connection is a plain thread on a blocking socket: `sleep` is then exact to about 0.1 ms, where the
//! timers of an asynchronous runtime round to whole milliseconds.

mod connection;

use std::{
    env,
    error::Error,
    io::Write,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use crate::connection::{Connection, trust};

/// Beginning later than this counts as late: the connection was still busy, or the machine was.
const LATE: Duration = Duration::from_millis(1);

/// What the command line says.
struct Plan {
    address: String,
    host: String,
    authority: String,
    connections: usize,
    rate: f64,
    warm_up: Duration,
    length: Duration,
}

/// What one connection saw.
#[derive(Default)]
struct Tally {
    latencies: Vec<Duration>,
    failed: u64,
    late: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let plan = Arc::new(plan(env::args().skip(1))?);
    let trust = trust(&plan.authority)?;
    let ready = Arc::new(Barrier::new(plan.connections + 1));
    let mut threads = Vec::new();
    for index in 0..plan.connections {
        let (plan, trust, ready) = (Arc::clone(&plan), Arc::clone(&trust), Arc::clone(&ready));
        threads.push(thread::spawn(move || {
            let connect = || Connection::open(&plan.address, &plan.host, &trust);
            let connection = connect();
            ready.wait();
            keep_timetable(&plan, index, connect, connection.ok())
        }));
    }
    ready.wait();

    let mut total = Tally::default();
    for thread in threads {
        let tally = thread.join().map_err(|_| "a connection's thread panicked")?;
        total.latencies.extend(tally.latencies);
        total.failed += tally.failed;
        total.late += tally.late;
    }
    report(total)
}

fn plan(mut words: impl Iterator<Item = String>) -> Result<Plan, Box<dyn Error>> {
    let mut next = |name: &str| words.next().ok_or_else(|| format!("{name} is missing"));
    Ok(Plan {
        address: next("ADDRESS")?,
        host: next("HOST")?,
        authority: next("CA_FILE")?,
        connections: next("CONNECTIONS")?.parse()?,
        rate: next("RATE")?.parse()?,
        warm_up: Duration::from_secs_f64(next("WARM_UP")?.parse()?),
        length: Duration::from_secs_f64(next("SECONDS")?.parse()?),
    })
}

/// Sends this connection's share of the requests: of all that are due, every CONNECTIONS-th.
fn keep_timetable(
    plan: &Plan,
    index: usize,
    connect: impl Fn() -> Result<Connection, Box<dyn Error>>,
    mut connection: Option<Connection>,
) -> Tally {
    let start = Instant::now();
    let mut tally = Tally::default();
    for turn in (index..).step_by(plan.connections) {
        let due = Duration::from_secs_f64(turn as f64 / plan.rate);
        if due >= plan.warm_up + plan.length {
            break;
        }
        thread::sleep(due.saturating_sub(start.elapsed()));
        let begun = start.elapsed();
        if connection.is_none() {
            connection = connect().ok();
        }
        let answered = connection.as_mut().is_some_and(|open| open.get().is_ok());
        if !answered {
            connection = None;
        }
        if due < plan.warm_up {
            continue;
        }
        tally.late += u64::from(begun > due + LATE);
        if answered {
            tally.latencies.push(start.elapsed().saturating_sub(due));
        } else {
            tally.failed += 1;
        }
    }
    tally
}

fn report(mut total: Tally) -> Result<(), Box<dyn Error>> {
    total.latencies.sort_unstable();
    let shown = |share| {
        rank(&total.latencies, share)
            .map_or_else(|| "null".to_owned(), |time| format!("{:.3}", time.as_secs_f64() * 1000.0))
    };
    let sent = total.latencies.len() as u64 + total.failed;
    writeln!(
        std::io::stdout(),
        r#"{{"sent": {sent}, "failed": {}, "late": {}, "p50": {}, "p90": {}, "p99": {}, "max": {}}}"#,
        total.failed,
        total.late,
        shown(0.5),
        shown(0.9),
        shown(0.99),
        shown(1.0),
    )?;
    Ok(())
}

/// The value below which `share` of the sorted `latencies` lie, or the nearest there is.
fn rank(latencies: &[Duration], share: f64) -> Option<Duration> {
    let last = latencies.len().checked_sub(1)?;
    latencies.get((last as f64 * share).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_sorted_list() {
        let latencies: Vec<_> = (0..=100).map(Duration::from_millis).collect();
        assert_eq!(rank(&latencies, 0.5), Some(Duration::from_millis(50)));
        assert_eq!(rank(&latencies, 0.99), Some(Duration::from_millis(99)));
        assert_eq!(rank(&latencies, 1.0), Some(Duration::from_millis(100)));
        assert_eq!(rank(&latencies[..1], 0.99), Some(Duration::ZERO));
        assert_eq!(rank(&[], 0.5), None);
    }

    /// A plan of 30 requests in 300 ms, with nobody to answer them.
    fn plan_of_thirty(warm_up: Duration) -> Plan {
        Plan {
            address: String::new(),
            host: String::new(),
            authority: String::new(),
            connections: 3,
            rate: 100.0,
            warm_up,
            length: Duration::from_millis(300) - warm_up,
        }
    }

    #[test]
    fn connections_share_the_timetable_and_the_warm_up_does_not_count() {
        for (warm_up, expected) in [(0, 30), (100, 20)] {
            let plan = plan_of_thirty(Duration::from_millis(warm_up));
            let nobody = || Err("nobody is there".into());
            let failed = |index| keep_timetable(&plan, index, nobody, None).failed;
            assert_eq!((0..3).map(failed).sum::<u64>(), expected);
        }
    }
}
