//! `[limits]` of `edge.toml`: what a visitor or a tunnel may use.

use std::time::Duration;

use irp_edge::{config::DRAIN, http, tunnels::native};
use serde::Deserialize;

use super::Network;
use crate::config::values::{Bytes, Span};

/// The widest window of HTTP/2: it has 31 bits (RFC 9113, section 6.9.1).
const WINDOW_MOST: u32 = (1 << 31) - 1;

/// What is left out has the default of the edge.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) header_bytes: Option<Bytes>,
    pub(crate) header_time: Option<Span>,
    pub(crate) idle_time: Option<Span>,
    pub(crate) stall_time: Option<Span>,
    pub(crate) upload_time: Option<Span>,
    pub(crate) upgrade_time: Option<Span>,
    pub(crate) upstream_time: Option<Span>,
    pub(crate) hold: Option<Span>,
    pub(crate) hold_requests: Option<u32>,
    pub(crate) requests: Option<u32>,
    pub(crate) requests_per_name: Option<u32>,
    pub(crate) streams: Option<u32>,
    pub(crate) memory: Option<Bytes>,
    pub(crate) stream_window: Option<Bytes>,
    pub(crate) lanes: Option<u16>,
    pub(crate) drain_time: Option<Span>,
    #[serde(default)]
    pub(crate) trusted_proxies: Vec<Network>,
}

impl Limits {
    /// Those of the public side.
    pub(crate) fn public(&self) -> http::Limits {
        let default = http::Limits::default();
        http::Limits {
            header_bytes: size(self.header_bytes, default.header_bytes),
            header_read: span(self.header_time, default.header_read),
            idle: span(self.idle_time, default.idle),
            stalled: span(self.stall_time, default.stalled),
            upload_idle: span(self.upload_time, default.upload_idle),
            half_closed: default.half_closed,
            upgrade_idle: span(self.upgrade_time, default.upgrade_idle),
            response_head: span(self.upstream_time, default.response_head),
            hold: span(self.hold, default.hold),
            held: count(self.hold_requests, default.held),
            in_flight: count(self.requests, default.in_flight),
            in_flight_per_name: count(self.requests_per_name, default.in_flight_per_name),
            streams: self.streams.unwrap_or(default.streams),
            budget: size(self.memory, default.budget),
            stream_window: count(Some(self.sessions().stream_window), default.stream_window),
            trusted_proxies: self.trusted_proxies.iter().map(|network| network.0).collect(),
        }
    }

    /// Those of the sessions of irp's client.
    pub(crate) fn sessions(&self) -> native::Settings {
        let default = native::Settings::default();
        let window = |bytes: Bytes| u32::try_from(bytes.get()).unwrap_or(WINDOW_MOST).min(WINDOW_MOST);
        native::Settings {
            lanes_max: self.lanes.unwrap_or(default.lanes_max),
            stream_window: self.stream_window.map_or(default.stream_window, window),
            drain: default.drain,
        }
    }

    /// How long requests may go on after the edge was asked to stop.
    pub(crate) fn drain(&self) -> Duration {
        span(self.drain_time, DRAIN)
    }
}

fn span(told: Option<Span>, default: Duration) -> Duration {
    told.map_or(default, Span::get)
}

fn size(told: Option<Bytes>, default: usize) -> usize {
    told.map_or(default, |bytes| usize::try_from(bytes.get()).unwrap_or(usize::MAX))
}

fn count(told: Option<u32>, default: usize) -> usize {
    told.map_or(default, |number| usize::try_from(number).unwrap_or(usize::MAX))
}
