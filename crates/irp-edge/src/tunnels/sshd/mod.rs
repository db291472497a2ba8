//! Tunnels through sshd: the developer's stock `ssh -R` in place of irp's own client.
//!
//! **A forward is what listens.** The machine's own sshd, or the one of [`SshdWay`], listens for the developer at
//! `127.0.0.1:UPSTREAM_PORT` or at `/run/irp/tunnels/NAME.sock`; the edge takes whatever listens there for a tunnel
//! ([`ForwardAddress`]), and for one that is there only while something accepts ([`Forwards`]). It finds out by
//! reading `/proc/net`, since a trial connection would come out at the developer's program.
//!
//! **One owner per machine.** All forwards must belong to one account, and all keys of our own sshd to one owner:
//! whoever may listen may listen at every name, as sshd cannot tell one session's sockets from another's.
//! What another account listens on is [`Presence::Foreign`] and gets no request.
//!
//! **Our own sshd** ([`SshdWay`], off by default) serves `SSH-` connections of the public listener. It is one
//! `sshd -i` per connection with the visitor's own socket, not a daemon behind a copying loop: no byte passes
//! through the edge, half-closes stay what they are, there is no loopback port that local users could reach past
//! the edge's limits, no daemon that can be dead, and the log of each connection comes on a pipe of its own, from
//! which the edge knows that exactly this connection has authenticated. sshd runs as the account it lets
//! in and never as root, so all that a fault in it gives away are the rights of an account that has none.
//!
//! sshd's `MaxStartups` counts per daemon and so means nothing here: the edge bounds unauthenticated
//! connections itself, per real address and in all ([`Limits`]).
//!
//! **Sessions of the machine's own sshd** count for the idle timer by their processes ([`ssh_sessions`]), once they
//! have authenticated. [`machine_drop_in`] is what that sshd needs so that a dead laptop's session ends.

mod account;
mod address;
mod config;
mod gate;
mod listening;
mod presence;
mod server;
mod sessions;

pub use account::{Account, AccountError};
pub use address::{
    DEFAULT_UPSTREAM_PORT, ForwardAddress, ForwardStream, SOCKET_FOLDER, SOCKET_SUFFIX, SocketNameError,
    UpstreamPort, UpstreamPortError, make_socket_folder,
};
pub use config::{
    AuthorizedKey, DEFAULT_ALIVE_COUNT, DEFAULT_ALIVE_INTERVAL, DEFAULT_LOGIN_GRACE, KeyError, OwnerKeys,
    OwnerKeysError, machine_drop_in,
};
pub use gate::{Limits, Refusal};
pub use presence::{FORWARDS_LOOK_EVERY, Forwards, Nudge, Owner, Presence};
pub use server::{Ended, HandOverError, OpenError, SshdWay, SshdWayConfig};
pub use sessions::{SESSIONS_LOOK_EVERY, SshSession, count_ssh_sessions, ssh_sessions};
