//! The native tunnel's end at the edge: sessions of irp's own client.
//!
//! A session begins with a control connection: hello, then the roles turn and the edge is the HTTP/2 client
//! on the accepted socket. It carries control messages, gRPC, upgrades, and whatever finds no lane. Lanes are
//! further connections of the session; each carries one HTTP/1.1 request at a time, which costs less and
//! isolates requests from one another. When the control connection is over, so is the session with all its
//! lanes.

mod absolute;
mod accept;
mod asking;
mod control;
mod errand;
mod lanes;
mod look;
mod session;
mod upgrade;

pub use accept::{Door, Guest, Hellos};
pub use session::{STREAM_WINDOW, STREAMS_MAX, Session, Settings, Stream};
