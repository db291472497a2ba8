//! The public side: what happens to a visitor's request between TLS and the tunnel.
//!
//! [`Service::serve_connection`] drives one connection of a visitor, HTTP/1.1 or HTTP/2, to its end. Every
//! request passes the steps of `pipeline` in their order; every answer that the edge makes by itself is
//! made in `respond`. Bodies stream both ways, and nothing is buffered beyond what [`budget`] accounts for.
//!
//! Upgrades (WebSocket) are taken on HTTP/1.1 only: browsers open such a connection where HTTP/2 does not
//! offer extended CONNECT. Interim answers (1xx) of the upstream are dropped, but for 101. A `100 Continue`
//! is sent to the visitor when the tunnel begins to take the body.

pub mod access;
pub mod body;
pub mod budget;
mod connection;
pub mod exchange;
mod forwarding;
mod headers;
pub mod limits;
mod pipeline;
pub(crate) mod respond;
pub mod route;
mod service;
mod upgrade;

pub use exchange::{Exchange, ExchangeSink};
pub use headers::Malformed;
pub use limits::Limits;
pub use respond::Refusal;
pub use route::{Route, Routes};
pub use service::{Protocol, Service, Visitor};
