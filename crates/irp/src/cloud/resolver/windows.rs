//! Windows' network settings.

use std::net::IpAddr;

use ipconfig::OperStatus;

/// How people call the place.
pub(super) const SETTINGS: &str = "no network that is up";

/// The first server of the network that is preferred. Site-local addresses (RFC 3879) are what Windows puts there for
/// IPv6 when it knows none.
pub(super) fn first_server() -> Option<IpAddr> {
    let mut up: Vec<_> = ipconfig::get_adapters().ok()?;
    up.retain(|adapter| {
        adapter.oper_status() == OperStatus::IfOperStatusUp && !adapter.gateways().is_empty()
    });
    up.sort_by_key(ipconfig::Adapter::ipv4_metric);
    let usable = |address: &&IpAddr| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(six) => six.segments()[0] & 0xffc0 != 0xfec0,
    };
    up.iter().flat_map(|adapter| adapter.dns_servers()).find(usable).copied()
}
