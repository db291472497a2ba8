//! What an edge tells about itself to a key that may hold one of its names, without a session.
//!
//! It travels as the verdict of a hello, so it is short: [`Report::bounded`] cuts what does not fit into a frame.

use serde::{Deserialize, Serialize};

/// So many notices, troubles and tunnels are told.
const LIST_MAX: usize = 4;

/// So many bytes of a sentence are told, and so many of a key's name: all of a report stays below a frame's 4 KiB.
const TEXT_MAX: usize = 200;
const HOLDER_MAX: usize = 100;

/// How an edge is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its program and version.
    pub agent: String,
    /// How long it has been running, in seconds.
    pub up_s: u64,
    /// All who are connected: tunnels of irp, forwards of ssh, and logins.
    pub sessions: u32,
    /// The tunnels that hold the names which were asked about.
    #[serde(default)]
    pub tunnels: Vec<Tunnel>,
    /// The idle timer.
    pub idle: Idle,
    /// Events that wait for a tunnel; `None` where none are kept.
    #[serde(default)]
    pub parked: Option<u64>,
    /// Whether they outlive the machine: the next one of its name takes them in.
    #[serde(default)]
    pub parked_outlive: bool,
    /// What everybody is told who connects, such as a planned end.
    #[serde(default)]
    pub notices: Vec<String>,
    /// What does not work at the moment, and is tried again.
    #[serde(default)]
    pub troubles: Vec<String>,
}

/// A tunnel that holds a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// The name.
    pub name: String,
    /// `irp` or `ssh`.
    pub way: String,
    /// Whose key it is, as the edge's configuration calls it; empty for a forward of ssh.
    #[serde(default)]
    pub holder: String,
}

/// The idle timer of an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Idle {
    /// The machine does not end by itself.
    #[default]
    Never,
    /// Somebody is connected: it ends so many seconds after the last one has left.
    Held {
        /// Seconds.
        after_s: u64,
    },
    /// Nobody is connected: it ends in so many seconds.
    Running {
        /// Seconds.
        left_s: u64,
    },
    /// It is ending.
    Ending,
    /// A state of a later version.
    #[serde(other)]
    Unknown,
}

impl Report {
    /// The same, cut to what fits into a frame.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        for list in [&mut self.notices, &mut self.troubles] {
            // The newest are at the end.
            list.drain(..list.len().saturating_sub(LIST_MAX));
            list.iter_mut().for_each(|text| *text = short(text, TEXT_MAX));
        }
        self.tunnels.truncate(LIST_MAX);
        for tunnel in &mut self.tunnels {
            tunnel.holder = short(&tunnel.holder, HOLDER_MAX);
        }
        self.agent = short(&self.agent, HOLDER_MAX);
        self
    }
}

/// The beginning of a text, without what JSON would write as more than itself.
fn short(text: &str, bytes: usize) -> String {
    let mut short = String::with_capacity(text.len().min(bytes + 3));
    for letter in text.chars() {
        if short.len() + letter.len_utf8() > bytes {
            short.push('…');
            break;
        }
        match letter {
            '"' => short.push('\''),
            '\\' => short.push('/'),
            letter if letter.is_control() => short.push(' '),
            letter => short.push(letter),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::FRAME_MAX;

    #[test]
    fn the_longest_report_fits_into_a_frame() {
        let text = "\u{1F600}\"\\\u{1}".repeat(500);
        let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        let tunnel = Tunnel { name, way: "irp".into(), holder: "é".repeat(500) };
        let report = Report {
            agent: "x".repeat(500),
            up_s: u64::MAX,
            sessions: u32::MAX,
            tunnels: vec![tunnel; 100],
            idle: Idle::Running { left_s: u64::MAX },
            parked: Some(u64::MAX),
            parked_outlive: true,
            notices: vec!["y".repeat(500); 100],
            troubles: vec![text; 100],
        };
        let json = serde_json::to_vec(&report.bounded()).unwrap();
        assert!(json.len() + 100 < FRAME_MAX, "{}", json.len());
    }

    #[test]
    fn the_newest_are_told_and_later_versions_may_say_more() {
        let report = Report { notices: (0..20).map(|n| n.to_string()).collect(), ..Report::default() };
        assert_eq!(report.bounded().notices.last().unwrap(), "19");
        let later = r#"{"agent":"irp/9","up_s":1,"sessions":2,"idle":{"is":"dreaming"},"mood":"good"}"#;
        assert_eq!(serde_json::from_str::<Report>(later).unwrap().idle, Idle::Unknown);
    }
}
