//! What a visitor, a name and the whole edge may use. Every default is stated here, once.

use std::time::Duration;

use ipnet::IpNet;

use super::budget;

/// Bytes of a request's line and headers.
pub const HEADER_BYTES: usize = 32 * 1024;
/// From the first byte of a request to the end of its headers.
pub const HEADER_READ: Duration = Duration::from_secs(10);
/// How long a connection without a request stays open.
pub const IDLE: Duration = Duration::from_secs(120);
/// How long a visitor may take nothing of what waits for them.
pub const STALLED: Duration = Duration::from_secs(60);
/// How long a visitor may pause in the middle of an upload that has no answer yet.
pub const UPLOAD_IDLE: Duration = Duration::from_secs(60);
/// How long a visitor that has closed its sending half may wait for the answer before it counts as gone.
pub const HALF_CLOSED: Duration = Duration::from_secs(5);
/// How long an upgraded connection (a WebSocket) may carry nothing in either direction.
pub const UPGRADE_IDLE: Duration = Duration::from_secs(3600);
/// From the end of the request to the head of the upstream's answer.
pub const RESPONSE_HEAD: Duration = Duration::from_secs(120);
/// How long a request waits for the tunnel of its name.
pub const HOLD: Duration = Duration::from_secs(5);
/// Requests that wait for a tunnel at once, in all.
pub const HELD: usize = 256;
/// Requests in flight at once, in all.
pub const IN_FLIGHT: usize = 4096;
/// Requests in flight at once, for one name.
pub const IN_FLIGHT_PER_NAME: usize = 1024;
/// Streams at once on one HTTP/2 connection of a visitor.
pub const STREAMS: u32 = 128;

/// All limits of the public side.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's line and headers; more is answered with 431. At least 8192.
    pub header_bytes: usize,
    /// From the first byte of a request to the end of its headers; later the connection is closed.
    pub header_read: Duration,
    /// How long a connection without a request stays open.
    pub idle: Duration,
    /// How long a visitor may take nothing of what waits for them; then the answer is cut.
    pub stalled: Duration,
    /// How long a visitor may pause in the middle of an upload that has no answer yet; then 408. gRPC
    /// streams may be quiet as long as their connection answers pings.
    pub upload_idle: Duration,
    /// How long a visitor that has closed its sending half may wait for the answer.
    pub half_closed: Duration,
    /// How long an upgraded connection may carry nothing in either direction.
    pub upgrade_idle: Duration,
    /// From the end of the request to the head of the upstream's answer; then 504.
    pub response_head: Duration,
    /// How long a request waits for the tunnel of its name; then 503.
    pub hold: Duration,
    /// Requests that wait for a tunnel at once, in all; more are answered with 503 at once.
    pub held: usize,
    /// Requests in flight at once, in all; more are answered with 503.
    pub in_flight: usize,
    /// Requests in flight at once, for one name; more are answered with 503.
    pub in_flight_per_name: usize,
    /// Streams at once on one HTTP/2 connection of a visitor.
    pub streams: u32,
    /// Bytes for all windows, buffers and held requests together; used up means 503.
    pub budget: usize,
    /// Bytes that a tunnel may send ahead of a visitor who reads slowly, as the sessions are told: each exchange counts
    /// with them.
    pub stream_window: usize,
    /// Proxies whose `X-Forwarded-*` and `Forwarded` are believed. Empty: every visitor is a stranger.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: HEADER_BYTES,
            header_read: HEADER_READ,
            idle: IDLE,
            stalled: STALLED,
            upload_idle: UPLOAD_IDLE,
            half_closed: HALF_CLOSED,
            upgrade_idle: UPGRADE_IDLE,
            response_head: RESPONSE_HEAD,
            hold: HOLD,
            held: HELD,
            in_flight: IN_FLIGHT,
            in_flight_per_name: IN_FLIGHT_PER_NAME,
            streams: STREAMS,
            budget: budget::quarter_of_memory(),
            stream_window: budget::STREAM_WINDOW,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Limits {
    /// The worst case of one exchange, in bytes.
    #[must_use]
    pub fn exchange_bytes(&self) -> usize {
        self.stream_window.saturating_add(budget::WRITE_BUFFER)
    }
}
