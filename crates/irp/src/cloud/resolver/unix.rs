//! `resolv.conf(5)`.

use std::{fs, net::IpAddr};

/// How people call the place.
pub(super) const SETTINGS: &str = "/etc/resolv.conf";

/// The first server in it.
pub(super) fn first_server() -> Option<IpAddr> {
    first_in(&fs::read_to_string(SETTINGS).unwrap_or_default())
}

fn first_in(text: &str) -> Option<IpAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        address.split('%').next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_server_of_the_system_is_found() {
        let text =
            "# nameserver 192.0.2.1\nsearch example.com\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n";
        assert_eq!(first_in(text), Some([192, 0, 2, 53].into()));
        assert_eq!(first_in("nameserver fe80::1%eth0\n").map(|server| server.is_ipv6()), Some(true));
        assert_eq!(first_in("options edns0\n"), None);
    }
}
