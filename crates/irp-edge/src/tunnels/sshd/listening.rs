//! What listens on this machine, as the kernel tells in `/proc/net`.
//!
//! Reading there disturbs nobody, while a trial connection would come out at the developer's program. The two
//! files of TCP list listeners before connections, so reading ends early on a busy machine.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The state `TCP_LISTEN` of the kernel's `tcp_states.h`.
const LISTEN: u8 = 0x0A;

/// The flag `__SO_ACCEPTCON` of the kernel's `net.h`: a unix socket that accepts connections.
const ACCEPTS: u32 = 0x1_0000;

/// How much of a file is read at most. A row takes 150 bytes or so; tens of thousands of listeners fit.
const READ_AT_MOST: u64 = 8 << 20;

/// A TCP socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TcpListening {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) uid: u32,
    /// Names the socket as long as it exists.
    pub(super) inode: u64,
}

impl TcpListening {
    /// Whether a connection to 127.0.0.1 reaches it. A socket on `::` may be for IPv6 alone, which the kernel does
    /// not tell here: `None`.
    pub(super) fn accepts_loopback(&self) -> Option<bool> {
        match self.address {
            IpAddr::V4(address) => Some(address == Ipv4Addr::LOCALHOST || address.is_unspecified()),
            IpAddr::V6(address) if address.is_unspecified() => None,
            IpAddr::V6(address) => Some(
                address.to_ipv4_mapped().is_some_and(|v4| v4 == Ipv4Addr::LOCALHOST || v4.is_unspecified()),
            ),
        }
    }
}

/// A unix socket that listens, with the path it was bound to. The path may have been unlinked since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnixListening {
    pub(super) path: PathBuf,
    pub(super) inode: u64,
}

/// All TCP sockets that listen, of both families.
pub(super) fn tcp(proc: &Path) -> io::Result<Vec<TcpListening>> {
    let mut found = Vec::new();
    for name in ["net/tcp", "net/tcp6"] {
        let file = match File::open(proc.join(name)) {
            Ok(file) => file,
            // A kernel without IPv6 has no such file.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.ends_with('6') => continue,
            Err(error) => return Err(error),
        };
        read_tcp(BufReader::new(file.take(READ_AT_MOST)), &mut found)?;
    }
    Ok(found)
}

/// All unix sockets that listen and have a path.
pub(super) fn unix(proc: &Path) -> io::Result<Vec<UnixListening>> {
    let file = File::open(proc.join("net/unix"))?;
    let mut found = Vec::new();
    // Paths are bytes; one with a line feed makes rows that are no rows, and those are skipped.
    for row in BufReader::new(file.take(READ_AT_MOST)).split(b'\n') {
        found.extend(parse_unix(&row?));
    }
    Ok(found)
}

fn read_tcp(rows: impl BufRead, found: &mut Vec<TcpListening>) -> io::Result<()> {
    for row in rows.lines().skip(1) {
        match parse_tcp(&row?) {
            Some((LISTEN, listening)) => found.push(listening),
            // Listeners come first.
            Some(_) => break,
            None => {}
        }
    }
    Ok(())
}

/// One row: `sl: local remote state tx:rx tr:when retransmits uid timeout inode …`, all but the last four in
/// hexadecimal.
fn parse_tcp(row: &str) -> Option<(u8, TcpListening)> {
    let mut fields = row.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let (address, port) = (parse_address(address)?, u16::from_str_radix(port, 16).ok()?);
    let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some((state, TcpListening { address, port, uid, inode }))
}

/// An address as words of 32 bits, each in the byte order of the machine.
fn parse_address(hex: &str) -> Option<IpAddr> {
    if !hex.is_ascii() {
        return None;
    }
    let word = |at: usize| -> Option<[u8; 4]> {
        u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => word(0).map(|bytes| Ipv4Addr::from(bytes).into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// One row: `address: refcount protocol flags type state inode path`, the path last and of any bytes.
fn parse_unix(row: &[u8]) -> Option<UnixListening> {
    let mut rest = row;
    let mut field = || -> Option<&str> {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        let end = rest[start..].iter().position(|byte| *byte == b' ').map_or(rest.len(), |end| start + end);
        let (word, tail) = (&rest[start..end], &rest[end..]);
        rest = tail;
        std::str::from_utf8(word).ok()
    };
    let flags = {
        let (_, _, _) = (field()?, field()?, field()?);
        u32::from_str_radix(field()?, 16).ok()?
    };
    let (_, _) = (field()?, field()?);
    let inode = field()?.parse().ok()?;
    let path = rest.strip_prefix(b" ")?;
    // One that begins with `@` is abstract: it has no file.
    (flags & ACCEPTS != 0 && path.starts_with(b"/"))
        .then(|| UnixListening { path: PathBuf::from(OsStr::from_bytes(path)), inode })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    /// A row as the kernel writes it.
    fn tcp_row(address: IpAddr, port: u16, state: u8, uid: u32, inode: u64) -> String {
        let bytes = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let word = |chunk: &[u8]| format!("{:08X}", u32::from_ne_bytes(chunk.try_into().unwrap()));
        let hex: String = bytes.chunks(4).map(word).collect();
        let nobody = "0".repeat(hex.len());
        format!(
            "   7: {hex}:{port:04X} {nobody}:0000 {state:02X} 00000000:00000000 00:00000000 00000000 {uid:5} \
             {:8} {inode} 1 00000000db8d7a38 100 0 0 10 0",
            0
        )
    }

    #[test]
    fn rows_of_a_real_kernel() {
        let (state, listening) = parse_tcp(
            "   2: 0100007F:0F9F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     1        0 31965 1 \
             00000000db8d7a38 100 0 0 10 0                     ",
        )
        .unwrap();
        assert_eq!(state, LISTEN);
        assert_eq!((listening.port, listening.uid, listening.inode), (3999, 1, 31965));
        #[cfg(target_endian = "little")]
        assert_eq!(listening.address, IpAddr::V4(Ipv4Addr::LOCALHOST));

        let unix = b"0000000028b90923: 00000002 00000000 00010000 0001 01 31966 /run/irp/tunnels/a b.sock";
        let listening = parse_unix(unix).unwrap();
        assert_eq!(listening, UnixListening { path: "/run/irp/tunnels/a b.sock".into(), inode: 31966 });
        for row in [
            "Num       RefCount Protocol Flags    Type St Inode Path",
            "0000000028b90923: 00000002 00000000 00000000 0001 03 31966 /run/connected.sock",
            "0000000028b90923: 00000002 00000000 00010000 0001 01 31966 @abstract",
            "0000000028b90923: 00000002 00000000 00010000 0001 01 31966",
        ] {
            assert_eq!(parse_unix(row.as_bytes()), None, "{row}");
        }
    }

    #[test]
    fn only_what_a_connection_to_the_loopback_reaches_counts() {
        let accepts = |address: &str| {
            let address = address.parse().unwrap();
            TcpListening { address, port: 1, uid: 0, inode: 0 }.accepts_loopback()
        };
        assert_eq!(accepts("127.0.0.1"), Some(true));
        assert_eq!(accepts("0.0.0.0"), Some(true));
        assert_eq!(accepts("::ffff:127.0.0.1"), Some(true));
        assert_eq!(accepts("10.0.0.1"), Some(false));
        assert_eq!(accepts("127.0.0.2"), Some(false));
        assert_eq!(accepts("::1"), Some(false));
        assert_eq!(accepts("::"), None);
    }

    #[test]
    fn this_kernel_shows_real_listeners() {
        let tcp_listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = tcp_listener.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let _unix_listener = std::os::unix::net::UnixListener::bind(&path).unwrap();

        let proc = Path::new("/proc");
        let uid = rustix::process::getuid().as_raw();
        let found = tcp(proc).unwrap();
        assert!(found.iter().any(|l| l.port == port && l.uid == uid && l.accepts_loopback() == Some(true)));
        assert!(unix(proc).unwrap().iter().any(|l| l.path == path));
        drop(tcp_listener);
        assert!(!tcp(proc).unwrap().iter().any(|l| l.port == port && l.uid == uid));
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|bytes| Ipv4Addr::from(bytes).into()),
            any::<[u8; 16]>().prop_map(|bytes| Ipv6Addr::from(bytes).into()),
        ]
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(
            address in any_address(), port: u16, state: u8, uid: u32, inode: u64,
        ) {
            let row = tcp_row(address, port, state, uid, inode);
            prop_assert_eq!(parse_tcp(&row), Some((state, TcpListening { address, port, uid, inode })));
        }

        #[test]
        fn listeners_are_found_before_connections_and_not_among_them(
            listeners in proptest::collection::vec((any_address(), any::<u16>()), 0..20), connections in 0usize..20,
        ) {
            let mut text = "  sl  local_address rem_address   st\n".to_owned();
            for (address, port) in &listeners {
                text += &tcp_row(*address, *port, LISTEN, 1, 2);
                text.push('\n');
            }
            for _ in 0..connections {
                text += &tcp_row(Ipv4Addr::LOCALHOST.into(), 3000, 1, 1, 2);
                text.push('\n');
            }
            let mut found = Vec::new();
            read_tcp(text.as_bytes(), &mut found).unwrap();
            let found: Vec<_> = found.iter().map(|l| (l.address, l.port)).collect();
            prop_assert_eq!(found, listeners);
        }

        #[test]
        fn any_bytes_are_taken_without_panic(row in ".*", bytes: Vec<u8>) {
            let _ = parse_tcp(&row);
            let _ = parse_unix(&bytes);
            let _ = parse_unix(row.as_bytes());
        }

        #[test]
        fn any_change_of_a_row_is_taken_without_panic(at in 0usize..100, with: char) {
            let row = tcp_row(Ipv6Addr::LOCALHOST.into(), 3000, LISTEN, 1, 2);
            let mut chars: Vec<char> = row.chars().collect();
            chars[at] = with;
            let _ = parse_tcp(&chars.into_iter().collect::<String>());
        }

        #[test]
        fn any_path_of_a_unix_socket_is_kept(path in proptest::collection::vec(1u8..=255, 0..100)) {
            let path: Vec<u8> = std::iter::once(b'/').chain(path).filter(|byte| *byte != b'\n').collect();
            let mut row = b"00000000: 00000002 00000000 00010000 0001 01 31966 ".to_vec();
            row.extend(&path);
            prop_assert_eq!(parse_unix(&row).unwrap().path.into_os_string().into_vec(), path);
        }
    }
}
