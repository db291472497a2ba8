//! The weather around the link: the machine slept, or its network changed.
//!
//! Both are looked for once a second, with two system calls and no packet. Sleep shows as wall-clock time
//! that the monotonic clock did not count, or as a tick that came far too late; a new network shows as
//! another local address on the way to the edge.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, SystemTime},
};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::clock;

const TICK: Duration = Duration::from_secs(1);

/// A gap that counts as sleep. The edge gives a silent client up after about as long.
const SLEPT: Duration = Duration::from_secs(10);

/// Why the link should be looked after now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The machine slept.
    Woke,
    /// The way to the edge begins at another address.
    Network,
    /// There is a way again, from the address of before: connections may have lived through it.
    Back,
}

impl Change {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Woke => "this machine slept",
            Self::Network => "the network changed",
            Self::Back => "the network is back",
        }
    }
}

/// Watches the clock and the way to the edge.
#[derive(Debug)]
pub(crate) struct Weather {
    ticks: Interval,
    last: Observed,
}

/// What one look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Observed {
    wall: SystemTime,
    local: Option<IpAddr>,
    /// The last local address that there was.
    known: Option<IpAddr>,
}

impl Weather {
    /// Begins to watch the way to `edge`, or to anywhere while that is not known.
    pub(crate) fn new() -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, last: Observed::now(None) }
    }

    /// Waits for the next change. Safe to drop and call again.
    pub(crate) async fn changed(&mut self, edge: Option<SocketAddr>) -> Change {
        loop {
            self.ticks.tick().await;
            let now = Observed::now(edge);
            let change = change(self.last, now);
            self.last = Observed { known: now.known.or(self.last.known), ..now };
            if let Some(change) = change {
                return change;
            }
        }
    }

    /// Forgets what was seen towards another address than `edge`.
    pub(crate) fn look_towards(&mut self, edge: Option<SocketAddr>) {
        self.last = Observed::now(edge);
    }
}

impl Observed {
    fn now(edge: Option<SocketAddr>) -> Self {
        let local = local_towards(edge);
        Self { wall: clock::now(), local, known: local }
    }
}

fn change(last: Observed, now: Observed) -> Option<Change> {
    let passed = now.wall.duration_since(last.wall).unwrap_or_default();
    if passed > SLEPT {
        return Some(Change::Woke);
    }
    match (last.local, now.local) {
        (_, Some(new)) if last.known != Some(new) => Some(Change::Network),
        (None, Some(_)) => Some(Change::Back),
        _ => None,
    }
}

/// The local address from which packets to `edge` would leave. Connecting a UDP socket sends nothing.
fn local_towards(edge: Option<SocketAddr>) -> Option<IpAddr> {
    // Without an edge, documentation addresses (RFC 5737, RFC 3849) stand for the Internet.
    let anywhere = [
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)),
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9)),
    ];
    let towards = |target: SocketAddr| {
        let any: IpAddr =
            if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(target).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    match edge {
        Some(edge) => towards(edge),
        None => anywhere.into_iter().find_map(towards),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(seconds: u64, local: Option<&str>) -> Observed {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let local = local.map(|text| text.parse().unwrap());
        Observed { wall, local, known: local }
    }

    #[test]
    fn a_gap_is_sleep_and_a_step_back_is_nothing() {
        let before = seen(1000, Some("10.0.0.2"));
        assert_eq!(change(before, seen(1001, Some("10.0.0.2"))), None);
        assert_eq!(change(before, seen(1300, Some("10.0.0.2"))), Some(Change::Woke));
        assert_eq!(change(before, seen(10, Some("10.0.0.2"))), None);
    }

    #[test]
    fn another_address_is_a_change_and_no_address_is_none() {
        let before = seen(1000, Some("10.0.0.2"));
        assert_eq!(change(before, seen(1001, Some("10.9.0.7"))), Some(Change::Network));
        assert_eq!(change(before, seen(1001, None)), None);
        assert_eq!(change(seen(1000, None), before), Some(Change::Network));
        let away = Observed { known: before.local, ..seen(1000, None) };
        assert_eq!(change(away, seen(1001, Some("10.0.0.2"))), Some(Change::Back));
        assert_eq!(change(away, seen(1001, Some("10.9.0.7"))), Some(Change::Network));
    }

    #[test]
    fn loopback_is_reached_from_loopback() {
        let edge = "127.0.0.1:443".parse().unwrap();
        assert_eq!(local_towards(Some(edge)), Some(Ipv4Addr::LOCALHOST.into()));
    }
}
