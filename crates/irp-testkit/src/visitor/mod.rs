//! Those who call a public URL: stock ones ([`Curl`]) and hand-made ones, polite or not ([`Door`], [`Wire`]),
//! and crowds ([`Load`]).
//!
//! ```no_run
//! # async fn example(address: std::net::SocketAddr, authority: irp_testkit::authority::Authority) -> std::io::Result<()> {
//! use irp_testkit::visitor::{Curl, Door};
//!
//! let reply = Curl::new().trusting(authority.pem_file()).resolving("alice.localhost", address)
//!     .args(["-d", "hello"]).get(&format!("https://alice.localhost:{}/echo", address.port())).await?;
//! assert_eq!(reply.status, 200);
//!
//! let mut wire = Door::tls(address, "alice.localhost", authority.roots()).connect().await?;
//! wire.send("GET / HTTP/1.1\r\nHost: alice.localhost\r\n").await?;
//! wire.half_close().await?;
//! # Ok(()) }
//! ```

mod curl;
mod door;
mod load;
mod reply;
mod wire;

pub use curl::Curl;
pub use door::{Door, Http2, WebSocket, open_body};
pub use load::{Load, Sent};
pub use reply::Reply;
pub use wire::{Stream, Wire};
