//! Where a forward comes out on the edge's machine.

use std::{
    ffi::OsStr,
    fmt, fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::Account;

/// The port at which a forward comes out when nothing else is configured.
pub const DEFAULT_UPSTREAM_PORT: u16 = 3000;

/// The folder of forwards with a name of their own.
pub const SOCKET_FOLDER: &str = "/run/irp/tunnels";

/// What the name of a socket ends with; before it stands the name of the tunnel.
pub const SOCKET_SUFFIX: &str = ".sock";

/// Ports that no forward may come out at: ssh, and the public listeners.
const RESERVED_PORTS: [u16; 3] = [22, 80, 443];

/// The longest path of a socket: `sun_path` has 108 bytes, one for the zero at the end.
const SOCKET_PATH_BYTES: usize = 107;

/// The longest name of a socket: a label of a host name.
const NAME_BYTES: usize = 63;

/// The mode of the folder of sockets: the edge and the group of the account, nobody else. Set-group-id, so that a
/// socket belongs to that group as well and an edge that is a member may connect.
const SOCKET_FOLDER_MODE: u32 = 0o2770;

/// The port of the loopback at which a forward comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamPort(u16);

impl UpstreamPort {
    /// Takes `port` unless it is 0, 22, 80, 443 or one of `own`, the ports that irp itself listens on: a forward
    /// there would be refused, or the edge would take one of its own listeners for the developer's program and
    /// forward requests to itself.
    ///
    /// # Errors
    ///
    /// When the port is one of those.
    pub fn new(port: u16, own: &[u16]) -> Result<Self, UpstreamPortError> {
        if port == 0 {
            Err(UpstreamPortError::Zero)
        } else if RESERVED_PORTS.contains(&port) {
            Err(UpstreamPortError::Reserved(port))
        } else if own.contains(&port) {
            Err(UpstreamPortError::Own(port))
        } else {
            Ok(Self(port))
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for UpstreamPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a port cannot be the upstream port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamPortError {
    /// Zero is no port.
    #[error("the upstream port cannot be 0")]
    Zero,
    /// A port of ssh or of the public listeners.
    #[error("the upstream port cannot be {0}: ports 22, 80 and 443 belong to the machine")]
    Reserved(u16),
    /// A port that irp listens on.
    #[error("the upstream port cannot be {0}: irp itself listens there")]
    Own(u16),
}

/// Where the edge connects to when it forwards a request through sshd.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardAddress {
    /// 127.0.0.1 and this port.
    Tcp(UpstreamPort),
    /// A unix socket.
    Unix(PathBuf),
}

impl ForwardAddress {
    /// The socket of the tunnel `name` in `folder`: `folder/name.sock`.
    ///
    /// # Errors
    ///
    /// When the name is no label of lower-case letters, digits and inner hyphens, or the path is too long
    /// for a socket.
    pub fn socket(folder: &Path, name: &str) -> Result<Self, SocketNameError> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let bytes = name.as_bytes();
        let is_label = (1..=NAME_BYTES).contains(&bytes.len())
            && bytes.iter().copied().all(inner)
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !is_label {
            return Err(SocketNameError::NoLabel(name.to_owned()));
        }
        let path = folder.join(format!("{name}{SOCKET_SUFFIX}"));
        if AsRef::<OsStr>::as_ref(&path).len() > SOCKET_PATH_BYTES {
            return Err(SocketNameError::TooLong(path));
        }
        Ok(Self::Unix(path))
    }

    /// The port, where it is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(port) => Some(port.get()),
            Self::Unix(_) => None,
        }
    }

    /// Connects, without Nagle's delay. The kernel answers at once, so no timeout is needed here: sshd's listener
    /// accepts, or is gone, or its queue is full, which for a unix socket is an error and for TCP the caller's
    /// deadline.
    ///
    /// # Errors
    ///
    /// When nothing listens there, or permission is missing.
    pub async fn connect(&self) -> io::Result<ForwardStream> {
        match self {
            Self::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", port.get())).await?;
                stream.set_nodelay(true)?;
                Ok(ForwardStream::Tcp(stream))
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(ForwardStream::Unix),
        }
    }
}

impl fmt::Display for ForwardAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "127.0.0.1:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Why a tunnel cannot have a socket of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SocketNameError {
    /// Not a label of a host name.
    #[error("`{0}` cannot name a tunnel: write a label of a-z, 0-9 and inner hyphens, at most 63 long")]
    NoLabel(String),
    /// The path does not fit into the address of a socket.
    #[error("{} is too long for a socket ({SOCKET_PATH_BYTES} bytes at most)", .0.display())]
    TooLong(PathBuf),
}

/// A connection to a forward.
#[derive(Debug)]
pub enum ForwardStream {
    /// To the port.
    Tcp(TcpStream),
    /// To the socket.
    Unix(UnixStream),
}

impl AsyncRead for ForwardStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ForwardStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, data),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, data),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Makes the folder of sockets, or puts its rights in order: the edge's own, group-writable for `account` alone,
/// closed to everybody else.
///
/// # Errors
///
/// When the folder cannot be made, or the edge may not give it to the group.
pub fn make_socket_folder(folder: &Path, account: &Account) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // The group first: a change of group clears the set-group-id bit.
    chown(folder, None, Some(account.gid))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(SOCKET_FOLDER_MODE))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, UnixListener},
    };

    use super::*;

    #[test]
    fn ports_of_the_machine_and_of_irp_are_refused() {
        for port in [22, 80, 443] {
            assert_eq!(UpstreamPort::new(port, &[]), Err(UpstreamPortError::Reserved(port)));
        }
        assert_eq!(UpstreamPort::new(0, &[]), Err(UpstreamPortError::Zero));
        assert_eq!(UpstreamPort::new(8443, &[9000, 8443]), Err(UpstreamPortError::Own(8443)));
        assert_eq!(UpstreamPort::new(3000, &[9000, 8443]).unwrap().get(), 3000);
    }

    #[test]
    fn socket_names_cannot_leave_their_folder() {
        let folder = Path::new("/run/irp/tunnels");
        let path = |name| ForwardAddress::socket(folder, name).map(|address| address.to_string());
        assert_eq!(path("alice-2").unwrap(), "/run/irp/tunnels/alice-2.sock");
        for name in ["", ".", "..", "a/b", "../x", "a\0", "A", "a b", "-a", "a-", "é", &"a".repeat(64)] {
            assert!(matches!(path(name), Err(SocketNameError::NoLabel(_))), "{name}");
        }
        let deep = PathBuf::from(format!("/{}", "d".repeat(60)));
        assert!(matches!(ForwardAddress::socket(&deep, &"a".repeat(60)), Err(SocketNameError::TooLong(_))));
    }

    #[tokio::test]
    async fn connects_to_both_kinds() {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = UpstreamPort::new(tcp.local_addr().unwrap().port(), &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = ForwardAddress::socket(folder.path(), "a").unwrap();
        let ForwardAddress::Unix(path) = &socket else { panic!("{socket}") };
        let unix = UnixListener::bind(path).unwrap();

        let mut stream = ForwardAddress::Tcp(port).connect().await.unwrap();
        assert!(matches!(&stream, ForwardStream::Tcp(tcp) if tcp.nodelay().unwrap()));
        let (mut accepted, _) = tcp.accept().await.unwrap();
        accepted.write_all(b"tcp").await.unwrap();
        let mut buffer = [0; 3];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"tcp");

        let mut stream = socket.connect().await.unwrap();
        let (mut accepted, _) = unix.accept().await.unwrap();
        stream.write_all(b"all").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        accepted.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "all");
    }

    #[test]
    fn the_folder_is_closed_to_everybody_else() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("run/tunnels");
        let account = Account::current().unwrap();
        make_socket_folder(&folder, &account).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        make_socket_folder(&folder, &account).unwrap();
        let metadata = fs::metadata(&folder).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o2770);
        assert_eq!(metadata.gid(), account.gid);
    }
}
