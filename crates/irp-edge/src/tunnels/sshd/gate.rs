//! Bounds on connections to our own sshd: how many may be unauthenticated, from where, and how many sessions.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many connections our own sshd serves at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Unauthenticated ones from one address (IPv6: one /64).
    pub waiting_per_address: usize,
    /// Unauthenticated ones in all. Each is two processes of a few MiB.
    pub waiting: usize,
    /// Authenticated ones.
    pub sessions: usize,
}

impl Default for Limits {
    /// 3 from one address, 16 in all, 16 sessions: all together under 200 MiB with nobody paying attention,
    /// since the machine has 512.
    fn default() -> Self {
        Self { waiting_per_address: 3, waiting: 16, sessions: 16 }
    }
}

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many unauthenticated connections from this address.
    #[error("too many unauthenticated ssh connections from {0}")]
    Address(IpAddr),
    /// Too many unauthenticated connections in all.
    #[error("too many unauthenticated ssh connections")]
    Waiting,
    /// Too many sessions.
    #[error("too many ssh sessions")]
    Sessions,
}

/// Counts connections; locked for some instructions at the begin and end of a connection only.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, usize>,
    waiting: usize,
    sessions: usize,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// Lets a connection in, unauthenticated for the time being.
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr) -> Result<Ticket, Refusal> {
        let address = bucket(from);
        let mut counts = self.lock();
        if counts.waiting >= self.limits.waiting {
            return Err(Refusal::Waiting);
        }
        if counts.by_address.get(&address).is_some_and(|count| *count >= self.limits.waiting_per_address) {
            return Err(Refusal::Address(from));
        }
        *counts.by_address.entry(address).or_default() += 1;
        counts.waiting += 1;
        drop(counts);
        Ok(Ticket { gate: Arc::clone(self), address, authenticated: false })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing in here can panic half-way.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn leave_waiting(&mut self, address: IpAddr) {
        self.waiting -= 1;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// A connection that was let in; counted until this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    gate: Arc<Gate>,
    address: IpAddr,
    authenticated: bool,
}

impl Ticket {
    /// Makes room for the next unauthenticated connection; this one is a session now.
    pub(super) fn authenticate(&mut self) -> Result<(), Refusal> {
        let mut counts = self.gate.lock();
        if self.authenticated {
            return Ok(());
        }
        if counts.sessions >= self.gate.limits.sessions {
            return Err(Refusal::Sessions);
        }
        counts.leave_waiting(self.address);
        counts.sessions += 1;
        self.authenticated = true;
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.gate.lock();
        if self.authenticated {
            counts.sessions -= 1;
        } else {
            counts.leave_waiting(self.address);
        }
    }
}

/// What counts as one address: a subscriber of IPv6 has a whole /64.
fn bucket(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_cannot_shut_out_the_others() {
        let gate = Gate::new(Limits { waiting_per_address: 2, waiting: 5, sessions: 1 });
        let flood: Vec<_> = (0..10).map(|_| gate.enter(address("192.0.2.1"))).collect();
        assert_eq!(flood.iter().filter(|entry| entry.is_ok()).count(), 2);
        assert_eq!(flood[9].as_ref().unwrap_err(), &Refusal::Address(address("192.0.2.1")));
        assert!(gate.enter(address("192.0.2.2")).is_ok());
        drop(flood);
        assert!(gate.enter(address("192.0.2.1")).is_ok());
    }

    #[test]
    fn mapped_addresses_and_neighbours_in_a_64_count_as_one() {
        let gate = Gate::new(Limits { waiting_per_address: 1, waiting: 9, sessions: 1 });
        let _v4 = gate.enter(address("192.0.2.1")).unwrap();
        assert!(gate.enter(address("::ffff:192.0.2.1")).is_err());
        let _v6 = gate.enter(address("2001:db8::1")).unwrap();
        assert!(gate.enter(address("2001:db8::ffff:2")).is_err());
        assert!(gate.enter(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn who_authenticates_makes_room_until_the_sessions_are_full() {
        let gate = Gate::new(Limits { waiting_per_address: 1, waiting: 1, sessions: 1 });
        let mut first = gate.enter(address("192.0.2.1")).unwrap();
        assert_eq!(gate.enter(address("192.0.2.2")).unwrap_err(), Refusal::Waiting);
        first.authenticate().unwrap();
        first.authenticate().unwrap();
        let mut second = gate.enter(address("192.0.2.1")).unwrap();
        assert_eq!(second.authenticate(), Err(Refusal::Sessions));
        drop(first);
        second.authenticate().unwrap();
    }

    proptest! {
        #[test]
        fn limits_hold_and_nothing_is_left_behind(steps in proptest::collection::vec((0u8..3, any::<u8>()), 0..200)) {
            let limits = Limits { waiting_per_address: 3, waiting: 7, sessions: 4 };
            let gate = Gate::new(limits);
            let mut tickets: Vec<Ticket> = Vec::new();
            for (step, which) in steps {
                let index = usize::from(which) % tickets.len().max(1);
                match step {
                    0 => tickets.extend(gate.enter(IpAddr::from([192, 0, 2, which % 5]))),
                    1 if !tickets.is_empty() => drop(tickets.swap_remove(index)),
                    _ => {
                        if let Some(ticket) = tickets.get_mut(index) {
                            let _ = ticket.authenticate();
                        }
                    }
                }
                let counts = gate.lock();
                let sessions = tickets.iter().filter(|ticket| ticket.authenticated).count();
                prop_assert_eq!((counts.sessions, counts.waiting), (sessions, tickets.len() - sessions));
                prop_assert!(counts.sessions <= limits.sessions && counts.waiting <= limits.waiting);
                prop_assert!(counts.by_address.values().all(|count| *count <= limits.waiting_per_address));
            }
            drop(tickets);
            prop_assert!(gate.lock().by_address.is_empty());
        }
    }
}
