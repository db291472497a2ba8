//! Ports for servers that cannot be told to take any that is free, or whose port must be known before.
//!
//! A port that the kernel hands out for port 0 is no answer: between asking and using it, the kernel may give it
//! to a connection that any other test on the machine opens. So these come from below its range for that.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

/// The lowest port that is given.
const LOWEST: u16 = 10_000;

/// Where the kernel's own range begins on Linux, unless somebody has moved it.
const KERNELS: u16 = 32_768;

/// How many are tried.
const TRIES: u16 = 1000;

/// A port of loopback that nobody listens on. No two calls of one process get the same.
///
/// # Errors
///
/// When none of many is free.
pub fn unused() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = kernels_lowest().saturating_sub(LOWEST).max(TRIES);
    // Another process begins elsewhere; its number tells where.
    let begin = u32::from(count) * (process::id() * 7919 % 1000) / 1000;
    for _ in 0..TRIES {
        let at = (begin + u32::from(NEXT.fetch_add(1, Relaxed))) % u32::from(count);
        let port = LOWEST + u16::try_from(at).map_err(io::Error::other)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no port is free"))
}

/// The same, as an address.
///
/// # Errors
///
/// As [`unused`].
pub fn unused_address() -> io::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, unused()?).into())
}

fn kernels_lowest() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_ascii_whitespace().next().and_then(|lowest| lowest.parse().ok()).unwrap_or(KERNELS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_can_be_had_and_are_not_the_kernels() {
        let ports: Vec<u16> = (0..50).map(|_| unused().unwrap()).collect();
        let mut once = ports.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ports.len());
        assert!(ports.iter().all(|port| (LOWEST..KERNELS.max(kernels_lowest())).contains(port)), "{ports:?}");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0])).is_ok());
    }
}
