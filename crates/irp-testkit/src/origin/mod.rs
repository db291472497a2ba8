//! Programs behind a tunnel: what a developer runs on port 3000, and worse.
//!
//! Each listens on a free port of loopback, lives in a thread of its own (so it serves tests with and without
//! a runtime) and is gone, port and connections, when it is dropped.
//!
//! - [`Origin`]: one friendly program with a route for everything a web program does ([`program`] lists them);
//! - [`Bot`]: takes events, remembers them, and answers as it was told;
//! - [`GrpcOrigin`]: a gRPC echo over HTTP/2 without TLS;
//! - [`RawOrigin`]: records every byte it gets and answers what it was told to;
//! - [`RudeOrigin`]: breaks the protocol in one of the [`Manner`]s;
//! - [`RefusedPort`]: a port at which nobody listens;
//! - [`SilentPort`]: a port that does not even refuse.
//!
//! ```no_run
//! use irp_testkit::{origin::Origin, patience::eventually_blocking};
//!
//! let origin = Origin::start();
//! // … let a visitor ask for https://alice.localhost/slow/3600000 through the tunnel, and hang up …
//! eventually_blocking("the cancelled request", || origin.counters().cancelled() == 1);
//! ```

mod body;
mod bot;
mod counters;
mod framing;
mod grpc;
pub mod program;
mod raw;
mod rude;
mod server;
mod silent;
mod websocket;

pub use body::{AnyBody, nothing, pattern, pattern_sha256, sha256, unsized_pattern, whole};
pub use bot::{Bot, Manners, Taken};
pub use counters::{Counters, TEST_ID};
pub use framing::{Framed, frame_requests};
pub use grpc::{GRPC_ECHO, GrpcOrigin, Messages, message};
pub use program::{Echoed, Options, Origin, Protocol, Uploaded};
pub use raw::RawOrigin;
pub use rude::{Manner, RefusedPort, RudeOrigin};
pub use server::Bind;
pub use silent::SilentPort;
