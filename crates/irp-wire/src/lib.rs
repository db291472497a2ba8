//! What the edge and the client share: names, keys, the hello, control messages, header rules.
//!
//! A tunnel is born like this. The client dials the edge with TLS 1.3 and the ALPN protocol [`ALPN`]; the
//! public certificate proves the edge's name. Then [`hello`] proves both ends to each other with
//! signatures over this very TLS session, and the roles turn: the edge becomes the HTTP/2 *client* of the
//! accepted connection, the irp client *serves* on it. One long-lived request carries [`control`]
//! messages both ways; further connections of the same session, lanes, carry one HTTP/1.1 request at a time.

pub mod causes;
pub mod control;
pub mod errand;
pub mod headers;
pub mod hello;
pub mod key;
pub mod name;
pub mod policy;
pub mod private;
pub mod proof;
pub mod report;
pub mod seldom;
pub mod tasks;

/// The ALPN protocol of a tunnel connection. A network that loses it intercepts TLS.
pub const ALPN: &[u8] = b"irp/1";

/// The authority of requests that the edge addresses to the client itself, never to an upstream.
pub const CONTROL_AUTHORITY: &str = "control.irp.invalid";

/// The path of the control stream at [`CONTROL_AUTHORITY`].
pub const CONTROL_PATH: &str = "/control/1";
