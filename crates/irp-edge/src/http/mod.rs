//! The public side: what happens to a visitor's request between TLS and the tunnel.
//!
//! [`Service::serve_connection`] drives one connection of a visitor, HTTP/1.1 or HTTP/2, to its end. Every
//! request passes the steps of `pipeline` in their order; every answer that the edge makes by itself is
//! made in `respond`. Bodies stream both ways, and nothing is buffered beyond what [`budget`] accounts for.
//!
//! Upgrades (WebSocket) are taken on HTTP/1.1 only: browsers open such a connection where HTTP/2 does not
//! offer extended CONNECT. Interim answers (1xx) of the upstream are dropped, but for 101, and for
//! `100 Continue`, which a visitor gets when the upstream wants the body (see [`expect`]).
//!
//! What is no HTTP at all is not answered here: hyper itself says 400, 414 or 431 to a head that does not parse or
//! is too large, without a body, closes the connection, and lets nobody add to that answer. A request that
//! parses but is not safe to forward gets a page of ours like any other.

pub mod access;
pub mod body;
pub mod budget;
mod connection;
pub mod exchange;
pub mod expect;
mod forwarding;
mod headers;
mod host_keys;
pub mod limits;
mod messenger;
pub(crate) mod parking;
mod pipeline;
pub(crate) mod respond;
pub mod route;
mod service;
mod upgrade;
pub mod webhook;

pub use exchange::{Exchange, ExchangeSink};
pub use headers::Malformed;
pub use host_keys::HostKeys;
pub use limits::Limits;
pub use respond::Refusal;
pub use route::{Route, Routes};
pub use service::{Protocol, Service, Visitor};
