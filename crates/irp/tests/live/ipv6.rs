//! Edges with an IPv6 address: clients and visitors come by it, and upstreams hear of them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use irp_testkit::{
    origin::{Echoed, Origin},
    patience::eventually_blocking,
};
use tempfile::TempDir;

use crate::{
    acme::{Issuing, issuing_root},
    edge::{Edge, LOCAL, key_table, keygen},
    program::{Running, ca_path, curl, free_port, irp},
    proxy::knowing,
};

const NAME: &str = "bot.localhost";

/// A client of `host`, which is `NAME:PORT`; `at` is how it gets there, if not by the name.
fn connect(home: &Path, host: &str, origin: &Origin, at: &[&str]) -> Running {
    let (upstream, ca) = (origin.port().to_string(), ca_path(home));
    let arguments = [&["--json", "connect", host, &upstream, "--cacert", &ca], at].concat();
    Running::start(irp(home, &arguments), home.join("client.log"))
}

fn leave(client: Running) {
    client.interrupt();
    assert_eq!(client.end().code(), Some(0));
}

/// What the origin hears of a visitor who calls the edge at `address`, and pretends to be somebody else:
/// `X-Forwarded-For`, and `Forwarded`.
fn heard_of_a_visitor(ca: &str, host: &str, address: &str) -> [String; 2] {
    let resolve = format!("{host}:{address}");
    let pretends = ["-H", "X-Forwarded-For: 2001:db8::7", "-H", "Forwarded: for=\"[2001:db8::7]\""];
    let url = format!("https://{host}/page");
    let arguments = [&["--noproxy", "*", "--resolve", &resolve, &url], &pretends[..]].concat();
    let seen: Echoed = serde_json::from_str(&curl(ca, &arguments)).unwrap();
    ["x-forwarded-for", "forwarded"].map(|name| match seen.values(name)[..] {
        [only] => only.to_owned(),
        ref values => panic!("{name}: {values:?}"),
    })
}

#[test]
fn an_edge_that_listens_on_ipv6_alone_is_reached_by_address_and_by_name() {
    let home = TempDir::new().unwrap();
    let origin = Origin::start();
    let at = SocketAddr::from((Ipv6Addr::LOCALHOST, free_port()));
    let key = key_table(&keygen(home.path()), &[NAME]);
    let edge = Edge::listening(at, home.path(), &format!("{LOCAL}{key}"), |_| {});
    assert_eq!(edge.address, at);
    let (ca, host) = (ca_path(home.path()), edge.host(NAME));

    // The name is that of both loopback addresses, and nobody listens at the other one.
    let address = at.to_string();
    for way in [&["--connect-to", &address][..], &[]] {
        let mut client = connect(home.path(), &host, &origin, way);
        assert_eq!(client.event("connected")["via"], format!("direct {at}"));
        let heard = heard_of_a_visitor(&ca, &host, "[::1]");
        // RFC 7239, section 6: brackets, and quotes around them.
        let forwarded = format!("for=\"[::1]\";host=\"{host}\";proto=https");
        assert_eq!(heard, ["::1".to_owned(), forwarded]);
        leave(client);
    }
    edge.stop();
}

#[test]
fn an_edge_that_listens_on_any_address_tells_the_families_apart() {
    let home = TempDir::new().unwrap();
    let origin = Origin::start();
    let key = key_table(&keygen(home.path()), &[NAME]);
    let any = (Ipv6Addr::UNSPECIFIED, 0).into();
    let edge = Edge::listening(any, home.path(), &format!("{LOCAL}{key}"), |_| {});
    let (ca, host) = (ca_path(home.path()), edge.host(NAME));
    for family in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let at = SocketAddr::new(family, edge.address.port());
        let mut client = connect(home.path(), &host, &origin, &["--connect-to", &at.to_string()]);
        assert_eq!(client.event("connected")["via"], format!("direct {at}"));
        for (visited, node) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "\"[::1]\"")] {
            let heard = heard_of_a_visitor(&ca, &host, visited);
            let address = visited.trim_matches(['[', ']']).to_owned();
            assert_eq!(heard, [address, format!("for={node};host=\"{host}\";proto=https")]);
        }
        leave(client);
    }
    edge.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_nothing_but_an_ipv6_address_gets_its_certificate_and_its_tunnel() {
    let home = TempDir::new().unwrap();
    let name = "bot.irp.test";
    let origin = Origin::start();
    let at = SocketAddr::from((Ipv6Addr::LOCALHOST, free_port()));
    let issuing = Issuing::for_tls(home.path(), name, at).await;
    let edge = Edge::listening(at, home.path(), &issuing.tables, |_| {});
    let root = issuing_root(&issuing.pebble, home.path());
    eventually_blocking("the certificate is there", || edge.status(&root, name) == Some(503));

    let (host, upstream) = (edge.host(name), origin.port().to_string());
    let arguments = ["--json", "connect", &host, &upstream, "--cacert", &root];
    let command = knowing(home.path(), name, at.ip(), irp(home.path(), &arguments));
    let mut client = Running::start(command, home.path().join("client.log"));
    assert_eq!(client.event("connected")["via"], format!("direct {at}"));
    assert_eq!(edge.status(&root, name), Some(200));
    leave(client);
    edge.stop();
}
