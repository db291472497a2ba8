//! What is in the inbox, in memory: which events wait, in which order, and what is known of deliveries. Pure; the
//! disk follows it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use irp_webhook::Provider;
use irp_wire::name::Hostname;

use super::{Bounds, ParkError, record::Identity};

/// How many deliveries are remembered after they were made.
const DONE_MAX: usize = 20_000;

/// Events of one name and path keep their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue {
    /// The name.
    pub host: Hostname,
    /// The path, without a query.
    pub path: String,
}

/// What is known of one event without a look at the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place among those of its name and path.
    pub queue: Queue,
    /// Whose it is.
    pub provider: String,
    /// What the provider calls it.
    pub kind: Option<String>,
    /// Tells it from others.
    pub identity: Option<Identity>,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub parked_at: u64,
    /// Attempts at its delivery that failed.
    pub attempts: u32,
    /// Moved aside: it waits for a person.
    pub failed: bool,
    /// Safe on the disk.
    pub durable: bool,
    /// The attempt of the request itself goes on.
    pub running: bool,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that wait to be delivered.
    pub waiting: u64,
    /// Events that were moved aside.
    pub failed: u64,
    /// Events delivered since the start.
    pub delivered: u64,
    /// Bytes of all that are kept.
    pub bytes: u64,
}

/// What became of an event that wants in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// It has this number.
    New(u64),
    /// It is here already, or was delivered a moment ago.
    Known,
    /// It is on its way to the disk under this number.
    Coming(u64),
}

/// The index.
#[derive(Debug)]
pub(super) struct Index {
    bounds: Bounds,
    next: u64,
    entries: BTreeMap<u64, Entry>,
    /// Events that wait, by queue; none is empty.
    queues: HashMap<Queue, BTreeSet<u64>>,
    identities: HashMap<Identity, u64>,
    /// Deliveries that were made, with their time in milliseconds, the oldest first.
    done: HashMap<Identity, u64>,
    done_order: VecDeque<(u64, Identity)>,
    bytes: u64,
    /// Deliveries since the start, by name.
    delivered: HashMap<Hostname, u64>,
    /// Why nothing more is taken in.
    closed: Option<&'static str>,
}

impl Index {
    pub(super) fn new(bounds: Bounds, next: u64) -> Self {
        Self {
            bounds,
            next,
            entries: BTreeMap::new(),
            queues: HashMap::new(),
            identities: HashMap::new(),
            done: HashMap::new(),
            done_order: VecDeque::new(),
            bytes: 0,
            delivered: HashMap::new(),
            closed: None,
        }
    }

    /// Takes in what the disk holds already.
    pub(super) fn restore(&mut self, number: u64, entry: Entry) {
        self.next = self.next.max(number + 1);
        self.insert(number, entry);
    }

    /// A number for an event that another machine has taken in.
    pub(super) fn reserve(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Takes in `entry`, if there is room, or says that it is here already.
    pub(super) fn admit(&mut self, entry: Entry, now: u64) -> Result<Admitted, ParkError> {
        if let Some(known) = self.known(entry.identity.as_ref(), now) {
            return Ok(known);
        }
        if let Some(why) = self.closed {
            return Err(ParkError::Closed(why));
        }
        let count = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        if count >= self.bounds.events || self.bytes.saturating_add(entry.size) > self.bounds.bytes {
            return Err(ParkError::Full);
        }
        let number = self.reserve();
        self.insert(number, entry);
        Ok(Admitted::New(number))
    }

    /// Whether a delivery is here, or was made a moment ago.
    pub(super) fn known(&mut self, identity: Option<&Identity>, now: u64) -> Option<Admitted> {
        self.forget_done(now);
        let identity = identity?;
        if let Some(number) = self.identities.get(identity) {
            let is_durable = self.entries.get(number).is_some_and(|entry| entry.durable);
            return Some(if is_durable { Admitted::Known } else { Admitted::Coming(*number) });
        }
        self.done.contains_key(identity).then_some(Admitted::Known)
    }

    fn insert(&mut self, number: u64, entry: Entry) {
        self.bytes = self.bytes.saturating_add(entry.size);
        if !entry.failed {
            self.queues.entry(entry.queue.clone()).or_default().insert(number);
        }
        if let Some(identity) = entry.identity {
            self.identities.insert(identity, number);
        }
        self.entries.insert(number, entry);
    }

    /// Forgets an event: it was delivered, dropped, or never reached the disk.
    pub(super) fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(entry.size);
        self.leave_queue(number, &entry.queue);
        if let Some(identity) = entry.identity {
            self.identities.remove(&identity);
        }
        Some(entry)
    }

    fn leave_queue(&mut self, number: u64, queue: &Queue) {
        if let Some(numbers) = self.queues.get_mut(queue) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.queues.remove(queue);
            }
        }
    }

    /// An event was delivered: the same once more is none, unless a person asks for it. Returns what is to be known.
    pub(super) fn delivered(&mut self, number: u64, now: u64) -> Option<Identity> {
        let entry = self.remove(number)?;
        *self.delivered.entry(entry.queue.host.clone()).or_default() += 1;
        let provider = Provider::named(&entry.provider);
        let by_people = provider.is_some_and(|provider| provider.manners().again_by_people);
        let identity = entry.identity.filter(|_| !by_people)?;
        self.note_done(identity, now);
        Some(identity)
    }

    pub(super) fn note_done(&mut self, identity: Identity, at: u64) {
        self.done.insert(identity, at);
        self.done_order.push_back((at, identity));
    }

    /// Forgets deliveries that are old, or too many.
    fn forget_done(&mut self, now: u64) {
        while let Some((at, identity)) = self.done_order.front().copied() {
            if self.done_order.len() <= DONE_MAX && at.saturating_add(super::DONE_KEPT_MS) > now {
                return;
            }
            self.done_order.pop_front();
            if self.done.get(&identity) == Some(&at) {
                self.done.remove(&identity);
            }
        }
    }

    /// An event is safe on the disk.
    pub(super) fn set_durable(&mut self, number: u64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.durable = true;
        }
    }

    /// An attempt failed: how many have by now, and whether it is moved aside. The request's own attempt is over.
    pub(super) fn attempt_failed(&mut self, number: u64, counts: bool) -> Option<(u32, bool)> {
        let entry = self.entries.get_mut(&number)?;
        entry.running = false;
        entry.attempts += u32::from(counts);
        let (attempts, failed) = (entry.attempts, entry.failed || entry.attempts >= self.bounds.attempts);
        let moved = failed && !entry.failed;
        entry.failed = failed;
        let queue = entry.queue.clone();
        if moved {
            self.leave_queue(number, &queue);
        }
        Some((attempts, failed))
    }

    /// An event that was moved aside waits again, from the first attempt.
    pub(super) fn revive(&mut self, number: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&number) else { return false };
        (entry.failed, entry.attempts) = (false, 0);
        let queue = entry.queue.clone();
        self.queues.entry(queue).or_default().insert(number);
        true
    }

    /// Whether events of this name and path wait.
    pub(super) fn has_backlog(&self, host: &Hostname, path: &str) -> bool {
        // Mostly nothing waits at all, and no key has to be made.
        !self.queues.is_empty()
            && self.queues.contains_key(&Queue { host: host.clone(), path: path.to_owned() })
    }

    /// The event that is next, where it can be delivered now: it is on the disk, and nobody else is at it.
    pub(super) fn next(&self, queue: &Queue) -> Option<(u64, Entry)> {
        let number = self.queues.get(queue)?.first()?;
        let entry = self.entries.get(number)?;
        (entry.durable && !entry.running).then(|| (*number, entry.clone()))
    }

    /// Queues with something to deliver.
    pub(super) fn queues(&self) -> Vec<Queue> {
        self.queues.keys().cloned().collect()
    }

    /// Events that are too old.
    pub(super) fn expired(&self, now: u64) -> Vec<u64> {
        let age = u64::try_from(self.bounds.age.as_millis()).unwrap_or(u64::MAX);
        let old =
            |entry: &Entry| entry.durable && !entry.running && entry.parked_at.saturating_add(age) < now;
        self.entries.iter().filter(|(_, entry)| old(entry)).map(|(number, _)| *number).collect()
    }

    /// How many events of the names that `wanted` takes there are.
    pub(super) fn counts(&self, wanted: impl Fn(&Hostname) -> bool) -> Counts {
        let mut counts = Counts::default();
        for entry in self.entries.values().filter(|entry| wanted(&entry.queue.host)) {
            counts.bytes += entry.size;
            *(if entry.failed { &mut counts.failed } else { &mut counts.waiting }) += 1;
        }
        let delivered = self.delivered.iter().filter(|(host, _)| wanted(host));
        counts.delivered = delivered.map(|(_, count)| count).sum();
        counts
    }

    /// How many events wait, in all.
    pub(super) fn waiting(&self) -> u64 {
        u64::try_from(self.queues.values().map(BTreeSet::len).sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// All events, oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(number, entry)| (*number, entry))
    }

    /// Takes nothing more in.
    pub(super) fn close(&mut self, why: &'static str) {
        self.closed = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::inbox::DONE_KEPT_MS;

    const BOUNDS: Bounds = Bounds { events: 3, bytes: 1000, age: Duration::from_secs(10), attempts: 2 };

    fn entry(path: &str, identity: u8, size: u64) -> Entry {
        Entry {
            queue: Queue { host: "alice.localhost".parse().unwrap(), path: path.into() },
            provider: "slack".into(),
            kind: None,
            identity: Some([identity; 32]),
            size,
            parked_at: 1000,
            attempts: 0,
            failed: false,
            durable: false,
            running: false,
        }
    }

    fn queue(path: &str) -> Queue {
        entry(path, 0, 0).queue
    }

    #[test]
    fn it_is_bounded_in_count_and_bytes() {
        let mut index = Index::new(BOUNDS, 1);
        assert_eq!(index.admit(entry("/a", 1, 500), 0), Ok(Admitted::New(1)));
        assert_eq!(index.admit(entry("/a", 2, 501), 0), Err(ParkError::Full));
        assert_eq!(index.admit(entry("/a", 3, 1), 0), Ok(Admitted::New(2)));
        assert_eq!(index.admit(entry("/b", 4, 1), 0), Ok(Admitted::New(3)));
        assert_eq!(index.admit(entry("/b", 5, 1), 0), Err(ParkError::Full));
        assert_eq!(index.counts(|_| true), Counts { waiting: 3, failed: 0, delivered: 0, bytes: 502 });
        index.remove(1);
        assert_eq!(index.admit(entry("/b", 5, 1), 0), Ok(Admitted::New(4)));
        index.close("the machine ends");
        index.remove(2);
        assert_eq!(index.admit(entry("/b", 6, 1), 0), Err(ParkError::Closed("the machine ends")));
    }

    #[test]
    fn a_delivery_is_known_while_it_waits_and_for_a_while_after() {
        let mut index = Index::new(BOUNDS, 1);
        index.admit(entry("/a", 1, 1), 0).unwrap();
        assert_eq!(index.admit(entry("/a", 1, 1), 0), Ok(Admitted::Coming(1)));
        index.set_durable(1);
        assert_eq!(index.admit(entry("/a", 1, 1), 0), Ok(Admitted::Known));
        assert_eq!(index.delivered(1, 5000), Some([1; 32]));
        assert_eq!(index.admit(entry("/a", 1, 1), 5000 + DONE_KEPT_MS - 1), Ok(Admitted::Known));
        assert_eq!(index.admit(entry("/a", 1, 1), 5000 + DONE_KEPT_MS), Ok(Admitted::New(2)));
        // Of what a person has sent again, only as long as it waits.
        index.admit(Entry { provider: "github".into(), ..entry("/b", 9, 1) }, 0).unwrap();
        index.set_durable(3);
        assert_eq!(index.admit(entry("/b", 9, 1), 0), Ok(Admitted::Known));
        assert_eq!(index.delivered(3, 5000), None);
        assert_eq!(index.known(Some(&[9; 32]), 5000), None);
        // What never reached the disk is not known.
        index.remove(2);
        assert_eq!(index.admit(entry("/a", 1, 1), 5000 + DONE_KEPT_MS), Ok(Admitted::New(4)));
    }

    fn has_backlog(index: &Index, path: &str) -> bool {
        let Queue { host, path } = queue(path);
        index.has_backlog(&host, &path)
    }

    #[test]
    fn each_queue_gives_its_oldest_and_nobody_works_at_one_twice() {
        let mut index = Index::new(BOUNDS, 1);
        let running = Entry { running: true, ..entry("/a", 1, 1) };
        index.admit(running, 0).unwrap();
        index.admit(entry("/a", 2, 1), 0).unwrap();
        index.admit(entry("/b", 3, 1), 0).unwrap();
        (1..4).for_each(|number| index.set_durable(number));
        assert!(has_backlog(&index, "/a") && !has_backlog(&index, "/c"));
        assert_eq!(index.next(&queue("/a")), None, "the request's own attempt goes on");
        assert_eq!(index.next(&queue("/b")).unwrap().0, 3);
        assert_eq!(index.attempt_failed(1, true), Some((1, false)));
        assert_eq!(index.next(&queue("/a")).unwrap().0, 1);
        // The second failure moves it aside, and the next one is not held up.
        assert_eq!(index.attempt_failed(1, true), Some((2, true)));
        assert_eq!(index.next(&queue("/a")).unwrap().0, 2);
        assert_eq!(index.counts(|_| true), Counts { waiting: 2, failed: 1, delivered: 0, bytes: 3 });
        index.delivered(2, 0);
        assert!(!has_backlog(&index, "/a"), "what was moved aside blocks nothing");
        assert!(index.revive(1));
        assert_eq!(index.next(&queue("/a")).unwrap().1.attempts, 0);
        assert_eq!(
            index.attempt_failed(1, false),
            Some((0, false)),
            "no upstream is no failure of the event"
        );
    }

    #[test]
    fn what_is_too_old_is_told() {
        let mut index = Index::new(BOUNDS, 1);
        index.admit(entry("/a", 1, 1), 0).unwrap();
        assert_eq!(index.expired(u64::MAX), [0; 0], "not yet on the disk");
        index.set_durable(1);
        assert_eq!(index.expired(11_000), [0; 0]);
        assert_eq!(index.expired(11_001), [1]);
    }
}
