//! Names to addresses, and the race between addresses (RFC 8305).

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// How long one address has the field to itself (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 16;

/// Looks a name up and puts the two families in turn, IPv6 first (RFC 8305, section 4).
///
/// `localhost` is the loopback of both families, whatever the name servers say (RFC 6761, section 6.3), and
/// IPv4 first there: most development servers listen on that alone.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.take(ADDRESSES_MAX).collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(in_turn(found))
}

fn in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (mut six, mut four): (VecDeque<_>, VecDeque<_>) = found.into_iter().partition(SocketAddr::is_ipv6);
    let mut turns = Vec::new();
    while !six.is_empty() || !four.is_empty() {
        turns.extend(six.pop_front());
        turns.extend(four.pop_front());
    }
    turns
}

/// Connects to the first address that answers; gives the time of its handshake, one round trip.
///
/// The next address starts when the last one failed, or after [`HEAD_START`].
pub(crate) async fn connect_any(
    addresses: &[SocketAddr],
    each: Duration,
) -> Result<(TcpStream, SocketAddr, Duration), Vec<(SocketAddr, io::Error)>> {
    let mut waiting = addresses.iter().copied();
    let mut racing = FuturesUnordered::new();
    let mut failures = Vec::new();
    racing.extend(waiting.next().map(|address| connect(address, each)));
    loop {
        let more = waiting.len() > 0;
        tokio::select! {
            first = racing.next() => match first {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(failure)) => {
                    failures.push(failure);
                    racing.extend(waiting.next().map(|address| connect(address, each)));
                }
                None => return Err(failures),
            },
            () = sleep(HEAD_START), if more => {
                racing.extend(waiting.next().map(|address| connect(address, each)));
            }
        }
    }
}

async fn connect(
    address: SocketAddr,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr, Duration), (SocketAddr, io::Error)> {
    let begun = Instant::now();
    let connected = timeout(limit, TcpStream::connect(address)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")));
    let tcp = connected.map_err(|error| (address, error))?;
    // Nagle's algorithm against delayed acknowledgements costs 40 ms a request.
    let _ = tcp.set_nodelay(true);
    Ok((tcp, address, begun.elapsed()))
}

/// How long written bytes may stay unacknowledged before the system gives a tunnel connection up.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(12);

/// Makes the system notice a dead edge on connections that are idle, and keep NAT entries alive.
pub(super) fn tune(tcp: &TcpStream) {
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(15));
    #[cfg(not(any(target_os = "openbsd", target_os = "haiku")))]
    let keepalive = keepalive.with_interval(Duration::from_secs(5));
    // A system that knows none of these loses comfort only: HTTP/2 pings find a dead edge as well.
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
}

#[cfg(test)]
mod tests {
    use irp_testkit::{origin::SilentPort, patience::PATIENCE};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let found = parse(&["192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1"]);
        assert_eq!(in_turn(found), parse(&["[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1"]));
    }

    #[tokio::test]
    async fn localhost_needs_no_name_server() {
        let found = resolve("app.localhost", 7).await.unwrap();
        assert_eq!(found, ["127.0.0.1:7".parse().unwrap(), "[::1]:7".parse().unwrap()]);
        assert_eq!(resolve("[::1]", 7).await.unwrap(), ["[::1]:7".parse().unwrap()]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hold_up_the_next() {
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [gone.local_addr().unwrap(), good.local_addr().unwrap()];
        drop(gone);
        let (_, address, _) = connect_any(&addresses, Duration::from_secs(3)).await.unwrap();
        assert_eq!(address, addresses[1]);
        let failures = connect_any(&addresses[..1], Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(failures.len(), 1);
        assert!(connect_any(&[], Duration::from_secs(3)).await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_is_silent_has_its_head_start_and_no_more() {
        let (silent, good) = (SilentPort::take(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let addresses = [silent.address(), silent.address(), good.local_addr().unwrap()];
        let begun = Instant::now();
        // None of them is given up while the test lasts.
        let connecting = timeout(PATIENCE, connect_any(&addresses, Duration::from_secs(3600)));
        let (_, address, round_trip) = connecting.await.expect("the silent address holds it up").unwrap();
        assert_eq!(address, addresses[2]);
        assert!(2 * HEAD_START + round_trip <= begun.elapsed(), "{round_trip:?} of {:?}", begun.elapsed());
    }
}
