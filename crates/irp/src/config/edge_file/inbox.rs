//! `[inbox]` of `edge.toml`: verified events wait on the edge while nobody is there to take them.

use std::{num::NonZeroU32, time::Duration};

use irp_edge::inbox::{Bounds, Delivery, Settings};
use serde::Deserialize;

use crate::config::values::{Bytes, Span};

/// What is kept, and how it is delivered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inbox {
    /// Whether anything is kept.
    #[serde(default = "yes")]
    enabled: bool,
    /// How many events at most.
    events: Option<u64>,
    /// How many bytes of them.
    bytes: Option<Bytes>,
    /// For how long each.
    age: Option<Span>,
    /// After so many failed attempts an event is moved aside.
    attempts: Option<NonZeroU32>,
    /// The pause after the first of them; it doubles.
    retry: Option<Span>,
    /// Whether events are signed anew when they are delivered.
    #[serde(default = "yes")]
    resign: bool,
}

fn yes() -> bool {
    true
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            enabled: true,
            events: None,
            bytes: None,
            age: None,
            attempts: None,
            retry: None,
            resign: true,
        }
    }
}

impl Inbox {
    /// Whether anything is kept.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// What the edge runs with; `None` where nothing is kept. An upstream has `answer_within` for the head of its answer.
    pub(crate) fn settings(&self, answer_within: Duration) -> Option<Settings> {
        let (bounds, delivery) = (Bounds::default(), Delivery::default());
        let bounds = Bounds {
            events: self.events.unwrap_or(bounds.events),
            bytes: self.bytes.map_or(bounds.bytes, |bytes| bytes.get()),
            age: self.age.map_or(bounds.age, |age| age.get()),
            attempts: self.attempts.map_or(bounds.attempts, NonZeroU32::get),
        };
        let delivery = Delivery {
            resign: self.resign,
            retry: self.retry.map_or(delivery.retry, |retry| retry.get()),
            answer_within,
        };
        self.enabled.then(|| Settings { bounds, delivery, ..Settings::default() })
    }
}
