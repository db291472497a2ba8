//! What a client tells its person.
//!
//! Events travel over a bounded channel and are never waited for: when the reader is slow, events are
//! dropped and counted, and traffic goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode};
use irp_wire::policy::Webhook;
use tokio::{sync::mpsc, time::Instant};

/// How many events may wait for the reader.
const WAITING_MAX: usize = 1024;

/// One thing that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection to the edge is being made.
    Connecting {
        /// Counts from 1 since the last time the link stood.
        attempt: u32,
        /// What is dialled.
        address: String,
    },
    /// This edge was seen for the first time and is known from now on.
    KnownEdgeAdded {
        /// The edge's name.
        host: String,
        /// Its identity's fingerprint, `SHA256:…`.
        fingerprint: String,
    },
    /// The tunnel stands.
    Connected {
        /// The public URLs, in the order of the names.
        urls: Vec<String>,
        /// How the edge was reached: `direct 203.0.113.7:443`, `proxy …` or what [`crate::pipe::Carrier::way`] says.
        via: String,
        /// The time of one round trip, as the TCP handshake measured it; none through a program.
        rtt: Option<Duration>,
        /// How many lanes may be opened.
        lanes_max: u16,
        /// Whether it is the first time in this run.
        first: bool,
        /// How long the machine outlives its last session; `None` is for ever.
        idle_after: Option<Duration>,
        /// The edge's program and version.
        edge_agent: String,
        /// What the edge presented; nothing where ssh carries the requests.
        certificate: Option<EdgeCertificate>,
    },
    /// A tunnel that stood is gone.
    Lost {
        /// Why, in a few words.
        why: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// One way to the machine leads nowhere, and the next one is tried at once.
    OtherWay {
        /// Why, with causes.
        why: String,
        /// How people call the next one.
        next: String,
    },
    /// An attempt to connect failed.
    Failed {
        /// Why, with causes.
        why: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The edge refused for now.
    Refused {
        /// The edge's sentence.
        why: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The machine woke up, or its network changed: the link is made anew at once, whether it stood or not.
    Renewing {
        /// Why, in a few words.
        why: &'static str,
    },
    /// A request came through the tunnel and is over.
    Exchange(Finished),
    /// The edge answered a visitor by itself.
    AnsweredAtEdge {
        /// The name that the visitor asked for.
        host: String,
        /// The request's method.
        method: String,
        /// The path without the query.
        path: String,
        /// The status of the answer.
        status: u16,
        /// How long the request was with the edge.
        took: Duration,
        /// Why, in a few words.
        reason: String,
    },
    /// So many [`Self::AnsweredAtEdge`] were left out by the edge.
    Skipped {
        /// How many.
        count: u64,
    },
    /// When the machine would end if this session ended now.
    IdleEnds {
        /// From now; `None` is never.
        after: Option<Duration>,
    },
    /// The events that the edge keeps for the names of this client.
    Inbox {
        /// Events that wait to be delivered.
        waiting: u64,
        /// Events that were moved aside.
        failed: u64,
        /// Events that were delivered since the edge began.
        delivered: u64,
    },
    /// A sentence of the edge for the person.
    Notice {
        /// The sentence.
        text: String,
    },
    /// The client is leaving; requests under way are finished.
    Leaving {
        /// How many requests are under way.
        in_flight: usize,
    },
}

/// The certificate that an edge presented, which this side has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeCertificate {
    /// Who signed it, such as `Let's Encrypt R11`, without what could disturb a terminal.
    pub issuer: String,
    /// When it ends.
    pub not_after: SystemTime,
}

/// A request that came through the tunnel, and how it ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// When it came.
    pub at: SystemTime,
    /// Its method; `GET` for a WebSocket.
    pub method: Method,
    /// The visitor's host.
    pub host: String,
    /// The path without the query.
    pub path: String,
    /// The status of the answer; `None` when the visitor left before there was one.
    pub status: Option<StatusCode>,
    /// Whether the answer was made here, since the upstream gave none.
    pub failed: bool,
    /// From the request's head to the answer's head, or to the end where there was none.
    pub took: Duration,
    /// Bytes of the answer's body that went out.
    pub bytes: u64,
    /// Whether the answer went out whole.
    pub whole: bool,
    /// Whether it became a WebSocket or another upgraded protocol.
    pub upgrade: bool,
    /// What the edge found out about it, where its path belongs to a webhook provider.
    pub webhook: Option<Webhook>,
}

/// Where events go; clones share the channel.
#[derive(Clone, Debug)]
pub struct EventSink {
    sender: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
    pace: Option<Arc<Pace>>,
}

impl EventSink {
    /// A sink and its reader.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sender, dropped: Arc::default(), pace: None }, receiver)
    }

    /// The same for a reader who wants to hear of no more than `most` exchanges a second: the others are only counted
    /// among the dropped, since to make an event for each, and to hand it to another thread, would cost a busy
    /// site more than anybody reads.
    #[must_use]
    pub fn at_most(mut self, most: u32) -> Self {
        self.pace = Some(Arc::new(Pace::new(most)));
        self
    }

    /// How many events were dropped so far, since the reader was slow or had heard enough.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Tells an event, or drops it when the channel is full.
    pub(crate) fn tell(&self, event: Event) {
        self.tell_with(|| event);
    }

    /// Tells of an exchange, unless the reader has heard of enough of them in this second. The event is only made
    /// when it is told.
    pub(crate) fn tell_exchange(&self, finished: impl FnOnce() -> Finished) {
        if self.pace.as_ref().is_some_and(|pace| !pace.admits(Instant::now())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.tell_with(|| Event::Exchange(finished()));
    }

    fn tell_with(&self, event: impl FnOnce() -> Event) {
        match self.sender.try_reserve() {
            Ok(room) => room.send(event()),
            Err(mpsc::error::TrySendError::Full(())) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(mpsc::error::TrySendError::Closed(())) => {}
        }
    }
}

/// Lets `most` through in each second, without a lock.
#[derive(Debug)]
struct Pace {
    most: u32,
    start: Instant,
    /// Which second it is, counted from `start`.
    second: AtomicU64,
    told: AtomicU32,
}

impl Pace {
    fn new(most: u32) -> Self {
        Self { most, start: Instant::now(), second: AtomicU64::new(0), told: AtomicU32::new(0) }
    }

    fn admits(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.start).as_secs();
        let second = self.second.load(Ordering::Relaxed);
        if now > second
            && self.second.compare_exchange(second, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.told.store(0, Ordering::Relaxed);
        }
        // A look first: beyond the limit nobody has to write to what all threads read.
        self.told.load(Ordering::Relaxed) < self.most && self.told.fetch_add(1, Ordering::Relaxed) < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn beyond_its_pace_a_reader_is_told_only_how_many_there_were() {
        let (sink, mut reader) = EventSink::channel();
        let sink = sink.at_most(2);
        let made = AtomicU32::new(0);
        let finished = || {
            made.fetch_add(1, Ordering::Relaxed);
            Finished {
                at: SystemTime::UNIX_EPOCH,
                method: Method::GET,
                host: String::new(),
                path: String::new(),
                status: None,
                failed: false,
                took: Duration::ZERO,
                bytes: 0,
                whole: true,
                upgrade: false,
                webhook: None,
            }
        };
        for (dropped, made_until_now) in [(3, 2), (6, 4)] {
            (0..5).for_each(|_| sink.tell_exchange(finished));
            assert_eq!((sink.dropped(), made.load(Ordering::Relaxed)), (dropped, made_until_now));
            assert_eq!(std::iter::from_fn(|| reader.try_recv().ok()).count(), 2);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // What is no exchange is always told.
        (0..5).for_each(|count| sink.tell(Event::Skipped { count }));
        assert_eq!(std::iter::from_fn(|| reader.try_recv().ok()).count(), 5);
    }

    #[test]
    fn a_slow_reader_loses_events_and_nobody_waits() {
        let (sink, mut reader) = EventSink::channel();
        for count in 0..WAITING_MAX as u64 + 5 {
            sink.tell(Event::Skipped { count });
        }
        assert_eq!(sink.dropped(), 5);
        assert!(matches!(reader.try_recv(), Ok(Event::Skipped { count: 0 })));
        drop(reader);
        sink.tell(Event::Skipped { count: 0 });
        assert_eq!(sink.dropped(), 5);
    }
}
