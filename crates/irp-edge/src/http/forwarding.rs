//! What the upstream is told about the visitor: `X-Forwarded-*`, and `Forwarded` of RFC 7239.
//!
//! Most of it is the same for all requests of a connection, so those values are made once per connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// What is said about the visitors of one connection.
#[derive(Debug)]
pub(super) struct Forwarding {
    address: IpAddr,
    address_value: HeaderValue,
    proto: &'static str,
    port: HeaderValue,
    /// Whether the peer is a proxy whose word counts.
    peer_is_trusted: bool,
    trusted: Vec<IpNet>,
    /// The `Host` of the first request, and the `Forwarded` that goes with it.
    first: OnceLock<(HeaderValue, HeaderValue)>,
}

impl Forwarding {
    /// For a connection from `peer` to public port `port`; proxies on networks of `trusted` are believed.
    pub(super) fn new(peer: SocketAddr, tls: bool, port: u16, trusted: &[IpNet]) -> Self {
        let address = peer.ip().to_canonical();
        let peer_is_trusted = trusted.iter().any(|network| network.contains(&address));
        Self {
            address,
            address_value: visible(&address.to_string()),
            proto: if tls { "https" } else { "http" },
            port: visible(&port.to_string()),
            peer_is_trusted,
            trusted: if peer_is_trusted { trusted.to_vec() } else { Vec::new() },
            first: OnceLock::new(),
        }
    }

    /// The visitor's real address: the peer's, or where that is a trusted proxy, the last address in
    /// `X-Forwarded-For` that is none.
    pub(super) fn visitor(&self, headers: &HeaderMap) -> IpAddr {
        if !self.peer_is_trusted {
            return self.address;
        }
        let values: Vec<&str> = headers.get_all(FOR).iter().filter_map(|value| value.to_str().ok()).collect();
        let mut addresses = values.iter().rev().flat_map(|value| value.rsplit(',')).map(str::trim);
        loop {
            let Some(Ok(address)) = addresses.next().map(str::parse::<IpAddr>) else { return self.address };
            let address = address.to_canonical();
            if !self.trusted.iter().any(|network| network.contains(&address)) {
                return address;
            }
        }
    }

    /// Replaces what a stranger says about itself, or adds to what a trusted proxy says.
    pub(super) fn apply(&self, headers: &mut HeaderMap, host: &HeaderValue) {
        if self.peer_is_trusted {
            return self.extend(headers, host);
        }
        remove_claims(headers);
        headers.insert(FOR, self.address_value.clone());
        headers.insert(PROTO, HeaderValue::from_static(self.proto));
        headers.insert(PORT, self.port.clone());
        headers.insert(HOST, host.clone());
        let (first_host, forwarded) = self.first.get_or_init(|| (host.clone(), self.forwarded(host)));
        let forwarded = if first_host == host { forwarded.clone() } else { self.forwarded(host) };
        headers.insert(header::FORWARDED, forwarded);
    }

    fn extend(&self, headers: &mut HeaderMap, host: &HeaderValue) {
        append_to_list(headers, FOR, &self.address_value);
        append_to_list(headers, header::FORWARDED, &self.forwarded(host));
        headers.entry(PROTO).or_insert(HeaderValue::from_static(self.proto));
        headers.entry(HOST).or_insert(host.clone());
        headers.entry(PORT).or_insert(self.port.clone());
    }

    fn forwarded(&self, host: &HeaderValue) -> HeaderValue {
        let node = match self.address {
            IpAddr::V4(address) => address.to_string(),
            // RFC 7239, section 6.1: brackets, and therefore quotes.
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let host = host.to_str().unwrap_or_default();
        let quote = if host.contains([':', '[']) { "\"" } else { "" };
        visible(&format!("for={node};host={quote}{host}{quote};proto={}", self.proto))
    }
}

/// Removes headers that say where a request comes from, also in the spelling with `_`, which WSGI and CGI
/// make the same of, and `Proxy`, which CGI turns into a setting.
pub(super) fn remove_claims(headers: &mut HeaderMap) {
    let is_claim = |name: &HeaderName| {
        let name = name.as_str();
        match name.as_bytes().first() {
            Some(b'x') => {
                let same = |known: &str| {
                    name.len() >= known.len()
                        && name.bytes().zip(known.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
                };
                same("x-forwarded") || (same("x-real-ip") && name.len() == "x-real-ip".len())
            }
            Some(b'f') => name == "forwarded",
            Some(b'p') => name == "proxy",
            _ => false,
        }
    };
    // Mostly there are none, and then nothing is collected.
    if headers.keys().any(is_claim) {
        let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
        for name in claims {
            headers.remove(name);
        }
    }
}

/// Appends to a list header, in one line.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    let mut list = Vec::new();
    for before in headers.get_all(&name) {
        list.extend_from_slice(before.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(value.as_bytes());
    headers.insert(name, HeaderValue::from_bytes(&list).unwrap_or_else(|_| value.clone()));
}

/// A value from text that is visible ASCII by construction.
fn visible(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarding(peer: &str, trusted: &[&str]) -> Forwarding {
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Forwarding::new(peer.parse().unwrap(), true, 443, &trusted)
    }

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn what_strangers_say_is_replaced() {
        let mut headers = map(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x-forwarded-server", "a"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("x-real-ipad", "stays"),
            ("proxy", "evil"),
        ]);
        forwarding("203.0.113.7:5", &[]).apply(&mut headers, &"a.example".parse().unwrap());
        let expected = map(&[
            ("x-real-ipad", "stays"),
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-host", "a.example"),
            ("forwarded", "for=203.0.113.7;host=a.example;proto=https"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn ipv6_and_ports_are_quoted() {
        let forwarding = forwarding("[2001:db8::1]:5", &[]);
        for host in ["a.example:8443", "b.example", "a.example:8443"] {
            let mut headers = HeaderMap::new();
            forwarding.apply(&mut headers, &host.parse().unwrap());
            let quote = if host.contains(':') { "\"" } else { "" };
            let expected = format!("for=\"[2001:db8::1]\";host={quote}{host}{quote};proto=https");
            assert_eq!(headers["forwarded"], expected);
        }
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let forwarding = forwarding("[::ffff:10.0.0.1]:5", &["10.0.0.0/8"]);
        let mut headers =
            map(&[("x-forwarded-for", "198.51.100.1, 203.0.113.7"), ("x-forwarded-proto", "http")]);
        assert_eq!(forwarding.visitor(&headers), "203.0.113.7".parse::<IpAddr>().unwrap());
        forwarding.apply(&mut headers, &"a".parse().unwrap());
        assert_eq!(headers["x-forwarded-for"], "198.51.100.1, 203.0.113.7, 10.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "a");
        assert_eq!(headers["forwarded"], "for=10.0.0.1;host=a;proto=https");
    }

    #[test]
    fn the_visitor_is_the_last_address_that_is_no_proxy() {
        let trusted = forwarding("10.0.0.1:5", &["10.0.0.0/8"]);
        for (header, visitor) in [
            ("1.1.1.1, 2.2.2.2, 10.0.0.2", "2.2.2.2"),
            ("1.1.1.1, nonsense, 10.0.0.2", "10.0.0.1"),
            ("10.0.0.3", "10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            let headers = map(&[("x-forwarded-for", header)]);
            assert_eq!(trusted.visitor(&headers), visitor.parse::<IpAddr>().unwrap(), "{header}");
        }
        let stranger = forwarding("192.0.2.1:5", &["10.0.0.0/8"]);
        let headers = map(&[("x-forwarded-for", "1.1.1.1")]);
        assert_eq!(stranger.visitor(&headers), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
