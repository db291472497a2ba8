//! The side of the developer's PC: dial the edge, prove the key, serve requests, forward them upstream.
//!
//! [`run`] is the whole life of a client: it connects, serves, and connects again until it is told to stop
//! or the edge says that coming back is pointless. What happens meanwhile is told as [`Event`]s, which are
//! dropped under load rather than ever slowing traffic.
//!
//! ```text
//! life ── dial ──> TLS 1.3 + hello ──> session ── serve ── upstream
//!  │                                     ├ control stream: messages of the edge
//!  └ weather: wake from sleep,           └ lanes: HTTP/1.1 connections of the same session
//!    change of network
//! ```
//!
//! Nothing here reads the environment or prints: paths, proxies and keys come in [`ClientConfig`].

pub mod apart;
mod backoff;
pub mod call;
mod clock;
mod config;
mod dial;
pub mod errand;
mod event;
pub mod keys;
pub mod known_edges;
mod life;
mod look;
pub mod pipe;
mod serve;
mod session;
pub mod ssh;
mod trust;
mod upstream;
mod visit;
mod weather;

pub use self::{
    config::{ClientConfig, DRAIN_TIMEOUT, HostHeader, LANES_MAX, STREAM_WINDOW, Timeouts},
    dial::{
        DialError,
        proxy::{NoProxy, Proxy, ProxyError, ProxySettings},
        tls::Interception,
    },
    errand::{Errand, ErrandError},
    event::{EdgeCertificate, Event, EventSink, Finished},
    life::{RunError, run},
    look::{LookError, look},
    trust::{Roots, RootsError},
    upstream::{Upstream, UpstreamError, tls::UpstreamTrust},
    visit::Edge,
};
