//! What a client needs to know, with every default in one place.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use http::{HeaderValue, uri::Authority};
use irp_wire::{key::Signer, name::Hostname, policy::Policies};

use crate::{ProxySettings, Roots, Upstream, UpstreamTrust, pipe::Carrier};

/// How many lanes a client holds open unless told otherwise. Half of that loses their gain at 32 visitors.
pub const LANES_MAX: u16 = 32;

/// The HTTP/2 window of one upload through the tunnel, in bytes. Larger is faster for one upload over a
/// long line, and lets each stalled upload hold more memory.
pub const STREAM_WINDOW: u32 = 128 * 1024;

/// How long requests under way may take to finish when the client leaves.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that [`crate::run`] needs.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The edge's name: dialled, checked in its certificate, and signed in the hello.
    pub host: Hostname,
    /// The edge's port.
    pub port: u16,
    /// Dial this address instead of what the name resolves to.
    pub connect_to: Option<SocketAddr>,
    /// Connect through a program, whatever the name resolves to, or where a socket gets nowhere
    /// ([`Carrier::is_second`]); such a connection has no lanes.
    pub carrier: Option<Arc<dyn Carrier>>,
    /// The names to claim: 1 to [`irp_wire::hello::NAMES_MAX`].
    pub names: Vec<Hostname>,
    /// Signs for the person.
    pub signer: Arc<dyn Signer>,
    /// Which certificate authorities may vouch for the edge.
    pub roots: Roots,
    /// The file of the edges known so far; see [`crate::known_edges`].
    pub known_edges: PathBuf,
    /// Where requests go.
    pub upstream: Upstream,
    /// Which certificate an `https://` upstream must show.
    pub upstream_trust: UpstreamTrust,
    /// The `Host` that the upstream sees.
    pub host_header: HostHeader,
    /// The most lanes to hold open; 0 is HTTP/2 only.
    pub lanes_max: u16,
    /// See [`STREAM_WINDOW`].
    pub stream_window: u32,
    /// See [`Timeouts`].
    pub timeouts: Timeouts,
    /// What the edge is to do with requests before they come through the tunnel; `None` is nothing.
    pub policies: Option<Arc<Policies>>,
    /// How to get out of this network.
    pub proxy: ProxySettings,
    /// The program and its version, for the edge's log.
    pub agent: String,
}

/// How long to wait for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// One address of the edge, TCP; the system repeats a lost SYN after one second.
    pub edge_connect: Duration,
    /// The TLS handshake with the edge, and a proxy's answer.
    pub edge_handshake: Duration,
    /// The TLS handshake through a program, which makes its own connection first.
    pub carried_handshake: Duration,
    /// The upstream's TCP connection, with TLS where it has it.
    pub upstream_connect: Duration,
    /// From the end of a request to the head of the upstream's answer.
    pub upstream_head: Duration,
    /// See [`DRAIN_TIMEOUT`].
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            edge_connect: Duration::from_secs(3),
            edge_handshake: Duration::from_secs(5),
            carried_handshake: Duration::from_secs(30),
            upstream_connect: Duration::from_secs(5),
            upstream_head: Duration::from_secs(120),
            drain: DRAIN_TIMEOUT,
        }
    }
}

/// The `Host` that the upstream sees.
///
/// The default is [`Self::Preserve`], as with other tunnels: the application can build links to its public
/// URL, and signatures over the host match. Development servers that refuse names they do not know want
/// [`Self::Rewrite`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The visitor's.
    #[default]
    Preserve,
    /// The upstream's own name and port.
    Rewrite,
    /// This one.
    Fixed(HeaderValue),
}

/// The text is neither `rewrite`, `preserve` nor a host with an optional port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host header: use `preserve`, `rewrite`, or a name like `app.test:3000`")]
pub struct HostHeaderError(String);

impl FromStr for HostHeader {
    type Err = HostHeaderError;

    fn from_str(text: &str) -> Result<Self, HostHeaderError> {
        let refuse = || HostHeaderError(text.to_owned());
        match text {
            "preserve" => Ok(Self::Preserve),
            "rewrite" => Ok(Self::Rewrite),
            _ if text.contains('@') => Err(refuse()),
            _ => {
                let authority: Authority = text.parse().map_err(|_| refuse())?;
                HeaderValue::from_str(authority.as_str()).map(Self::Fixed).map_err(|_| refuse())
            }
        }
    }
}

impl fmt::Display for HostHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preserve => "preserve",
            Self::Rewrite => "rewrite",
            Self::Fixed(name) => name.to_str().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_header_is_a_word_or_a_name() {
        assert_eq!("preserve".parse(), Ok(HostHeader::Preserve));
        assert_eq!("rewrite".parse(), Ok(HostHeader::Rewrite));
        let fixed = HeaderValue::from_static("app.test:3000");
        assert_eq!("app.test:3000".parse(), Ok(HostHeader::Fixed(fixed)));
        for text in ["", "a b", "a/b", "me@app.test", "http://app.test"] {
            assert!(text.parse::<HostHeader>().is_err(), "{text}");
        }
    }
}
